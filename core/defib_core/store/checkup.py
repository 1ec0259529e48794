"""What `defib doctor` asks PostgreSQL: facts about the server, the schema, and who uses it.

Reads only, and judges nothing. A schema that is missing is a fact, not an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store import partitions


@dataclass(frozen=True, slots=True)
class Server:
    """The server itself. `now` is its clock."""

    version: str
    version_number: int
    """160004 for 16.4."""
    fsync: bool
    synchronous_commit: str
    full_page_writes: bool
    read_only: bool
    now: datetime
    connections: int
    most_connections: int
    database_bytes: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """How far ahead the partitions of a table of the history are made."""

    table: str
    made_until: datetime | None
    """None: there is none."""
    width: timedelta
    rows_without_one: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens in force."""

    administrators: int
    shared_agent_keys: int
    agent_tokens: int
    well_known: tuple[str, ...]
    """Names of those whose secret is one of the digests that were asked for."""
    known_by_name: int
    """VMs that report under a shared key, without a UUID to compare with Proxmox's."""


SERVER = text("""
SELECT current_setting('server_version') AS version,
    current_setting('server_version_num')::int AS version_number,
    current_setting('fsync') = 'on' AS fsync,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('full_page_writes') = 'on' AS full_page_writes,
    pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only,
    clock_timestamp() AS now,
    (SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL) AS connections,
    current_setting('max_connections')::int AS most_connections,
    pg_database_size(current_database()) AS database_bytes
""")
HAS_REVISION = text("SELECT to_regclass('alembic_version') IS NOT NULL")
REVISION = text("SELECT version_num FROM alembic_version")
HAS_DEFAULTS = text("""
SELECT EXISTS (SELECT FROM system_config WHERE namespace = :namespace AND name = 'default')
""")
PARTITIONS = text("""
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = CAST(:table AS regclass)
""")
TOKENS = text("""
WITH valid AS (
    SELECT name, kind, sha256 FROM api_token
    WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > defib_now())
    UNION ALL
    SELECT name, CASE role WHEN 'administrator' THEN 'admin' ELSE 'person' END, sha256
    FROM personal_token WHERE revoked_at IS NULL AND expires_at > defib_now()
)
SELECT (SELECT count(*) FROM valid WHERE kind = 'admin') AS administrators,
    (SELECT count(*) FROM valid WHERE kind = 'agent') AS shared_agent_keys,
    (SELECT count(*) FROM agent_token WHERE revoked_at IS NULL) AS agent_tokens,
    ARRAY(SELECT name FROM valid WHERE sha256 = ANY (CAST(:digests AS bytea[])) ORDER BY name)
        AS well_known,
    (SELECT count(*) FROM vm v JOIN vm_state s ON s.vm_id = v.id
     WHERE v.uid IS NOT NULL AND v.tombstoned_at IS NULL
       AND s.last_heartbeat > defib_now() - interval '1 day'
       AND (v.pinned_uuid IS NULL OR v.smbios_uuid IS NULL)
       AND NOT EXISTS (SELECT FROM agent_token t WHERE t.vm_id = v.id AND t.revoked_at IS NULL))
        AS known_by_name
""")


async def server(connection: AsyncConnection) -> Server:
    """Ask the server about itself."""
    return Server(**(await connection.execute(SERVER)).one()._mapping)


async def revision(connection: AsyncConnection) -> str | None:
    """Say at which revision the schema is; None: there is no schema of ours."""
    if not (await connection.execute(HAS_REVISION)).scalar_one():
        return None
    found: str | None = (await connection.execute(REVISION)).scalar_one_or_none()
    return found


async def has_defaults(connection: AsyncConnection, namespace: str) -> bool:
    """Say whether this namespace is the one that was set up here."""
    return bool((await connection.execute(HAS_DEFAULTS, {"namespace": namespace})).scalar_one())


async def ahead(connection: AsyncConnection) -> Sequence[Ahead]:
    """Say how far ahead each table of the history has partitions."""
    return [await _ahead(connection, kind) for kind in partitions.ALL]


async def _ahead(connection: AsyncConnection, kind: partitions.Partitioned) -> Ahead:
    rows = await connection.execute(PARTITIONS, {"table": kind.table})
    starts = [
        partitions.start_of(kind.table, row.relname)
        for row in rows
        if not row.relname.endswith("_default")
    ]
    left = await connection.execute(text(f"SELECT EXISTS (SELECT FROM {kind.table}_default)"))
    until = max(starts) + kind.width if starts else None
    return Ahead(kind.table, until, kind.width, bool(left.scalar_one()))


async def tokens(connection: AsyncConnection, well_known: Sequence[bytes]) -> Tokens:
    """Count the tokens in force, and name those whose digest is one of these."""
    row = (await connection.execute(TOKENS, {"digests": list(well_known)})).one()
    return Tokens(
        row.administrators,
        row.shared_agent_keys,
        row.agent_tokens,
        tuple(row.well_known),
        row.known_by_name,
    )
