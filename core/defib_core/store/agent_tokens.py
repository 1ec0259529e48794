"""Tokens of single machines: made, bound to a VM, listed, rotated and revoked. Digests only."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.audit import Deed, Who, audit
from defib_core.store.tokens import digest

PREFIX = "defib_agent_"


@dataclass(frozen=True, slots=True)
class NewAgentToken:
    """Whose a token is to be; a VM, an SMBIOS UUID, or both."""

    cluster_id: int
    vm_id: int | None
    smbios_uuid: str | None
    hostname: str
    created_by: str
    enrolment_id: int | None = None


@dataclass(frozen=True, slots=True)
class ListedAgentToken:
    """A token in force, as it is shown: never the token itself."""

    id: int
    shared: bool
    """It reports for all VMs of its cluster: a row of api_token."""
    name: str
    cluster: str
    vm_id: int | None
    vmid: int | None
    hostname: str | None
    smbios_uuid: str | None
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    last_heartbeat: datetime | None


ADD = text("""
INSERT INTO agent_token (sha256, cluster_id, vm_id, smbios_uuid, hostname, enrolment_id, created_by)
VALUES (:sha256, :cluster_id, :vm_id, :smbios_uuid, :hostname, :enrolment_id, :created_by)
RETURNING id
""")
REVOKE_OTHERS = text("""
UPDATE agent_token SET revoked_at = defib_now(), revoked_by = 'another machine is this VM now'
WHERE vm_id = :vm_id AND id <> :id AND revoked_at IS NULL AND expires_at IS NULL
""")
BIND = text("UPDATE agent_token SET vm_id = :vm_id WHERE id = :id AND vm_id IS NULL")
IN_FORCE = "revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > defib_now())"
LISTED = text(f"""
SELECT t.id, true AS shared, t.name, c.name AS cluster, NULL::bigint AS vm_id, NULL::int AS vmid,
    NULL AS hostname, NULL AS smbios_uuid, NULL AS created_by, t.created_at, t.expires_at,
    NULL::timestamptz AS last_heartbeat
FROM api_token t JOIN proxmox_cluster c ON c.id = t.cluster_id
WHERE t.kind = 'agent' AND t.{IN_FORCE} AND :after = 0 AND CAST(:vm_id AS bigint) IS NULL
UNION ALL
(SELECT t.id, false, t.hostname, c.name, t.vm_id, v.vmid, coalesce(v.hostname, t.hostname),
    t.smbios_uuid::text, t.created_by, t.created_at, t.expires_at, s.last_heartbeat
FROM agent_token t JOIN proxmox_cluster c ON c.id = t.cluster_id
LEFT JOIN vm v ON v.id = t.vm_id LEFT JOIN vm_state s ON s.vm_id = t.vm_id
WHERE t.{IN_FORCE} AND t.id > :after
  AND (CAST(:vm_id AS bigint) IS NULL OR t.vm_id = :vm_id)
ORDER BY t.id LIMIT :limit)
""")
CURRENT = text("""
SELECT cluster_id, vm_id, smbios_uuid::text AS smbios_uuid, hostname, enrolment_id FROM agent_token
WHERE id = :id AND revoked_at IS NULL AND expires_at IS NULL FOR UPDATE
""")
EXPIRE = text("UPDATE agent_token SET expires_at = :at WHERE id = :id")
REVOKE = text("""
UPDATE agent_token SET revoked_at = :now, revoked_by = :by
WHERE id = :id AND revoked_at IS NULL RETURNING vm_id, hostname AS name
""")
REVOKE_SHARED = text("""
UPDATE api_token SET revoked_at = :now
WHERE id = :id AND kind = 'agent' AND revoked_at IS NULL RETURNING NULL::bigint AS vm_id, name
""")


async def add_agent_token(connection: AsyncConnection, wanted: NewAgentToken) -> tuple[int, str]:
    """Make a token; return its id, and the token, which cannot be read again."""
    token = PREFIX + secrets.token_urlsafe(32)
    found = await connection.execute(
        ADD,
        {
            "sha256": digest(token),
            "cluster_id": wanted.cluster_id,
            "vm_id": wanted.vm_id,
            "smbios_uuid": wanted.smbios_uuid,
            "hostname": wanted.hostname,
            "enrolment_id": wanted.enrolment_id,
            "created_by": wanted.created_by,
        },
    )
    return int(found.scalar_one()), token


async def bind(connection: AsyncConnection, token_id: int, vm_id: int) -> None:
    """Keep which VM a token is of, now that Proxmox has shown it; it outranks who claimed it."""
    await connection.execute(REVOKE_OTHERS, {"id": token_id, "vm_id": vm_id})
    await connection.execute(BIND, {"id": token_id, "vm_id": vm_id})


async def agent_tokens(
    connection: AsyncConnection, *, limit: int, after: int = 0, vm_id: int | None = None
) -> Sequence[ListedAgentToken]:
    """Read the tokens in force: the shared keys first, then those of single VMs by id."""
    bound = {"limit": limit, "after": after, "vm_id": vm_id}
    return [ListedAgentToken(**row._mapping) for row in await connection.execute(LISTED, bound)]


async def rotate(
    connection: AsyncConnection, who: Who, token_id: int, grace: timedelta, now: datetime
) -> tuple[int, str] | None:
    """Make a VM's next token; the one before goes on for `grace`. None: there is no such token."""
    row = (await connection.execute(CURRENT, {"id": token_id})).one_or_none()
    if row is None:
        return None
    await connection.execute(EXPIRE, {"id": token_id, "at": now + grace})
    wanted = NewAgentToken(
        row.cluster_id, row.vm_id, row.smbios_uuid, row.hostname, who.actor, row.enrolment_id
    )
    new_id, token = await add_agent_token(connection, wanted)
    detail = {"token": token_id, "next": new_id, "graceSeconds": int(grace.total_seconds())}
    await audit(connection, who, Deed.ROTATE_KEY, now, row.vm_id, detail)
    return new_id, token


async def revoke(
    connection: AsyncConnection, who: Who, token_id: int, now: datetime, *, shared: bool
) -> str | None:
    """End a token now; return its name, or None where there is no such token in force."""
    bound = {"id": token_id, "by": who.actor, "now": now}
    found = await connection.execute(REVOKE_SHARED if shared else REVOKE, bound)
    row = found.one_or_none()
    if row is None:
        return None
    detail = {"token": token_id, "name": row.name, "shared": shared}
    await audit(connection, who, Deed.REVOKE_KEY, now, row.vm_id, detail)
    return str(row.name)
