"""API tokens: made here, shown once, kept as SHA-256 digests only."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.roles import Role


class TokenKind(StrEnum):
    """What a token is for."""

    AGENT = "agent"
    """Reports for VMs of the one cluster it is bound to."""
    ADMIN = "admin"
    """Reads and acts through the dashboard's API, within a role."""


class Via(StrEnum):
    """How somebody showed who he is."""

    TOKEN = "token"  # noqa: S105 - a word
    SESSION = "session"
    """A cookie, begun with a token."""
    OIDC = "oidc"
    """A cookie, begun by signing in with an OpenID provider."""
    PROXY = "proxy"
    """A header of a proxy that is trusted."""


@dataclass(frozen=True, slots=True)
class BoundTo:
    """The one machine that an agent's token stands for."""

    token_id: int
    hostname: str
    vmid: int | None
    """None until Proxmox has shown which VM has this SMBIOS UUID."""
    node: str | None
    smbios_uuid: str | None
    """What the machine said when it enrolled, else what Proxmox has pinned."""


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token that is neither revoked nor expired."""

    id: int
    kind: TokenKind
    name: str
    cluster_id: int | None
    bound: BoundTo | None = None
    """None for a shared agent's key, which reports for all VMs of its cluster."""
    role: Role | None = None
    """What a person or program may do; None for agents."""
    via: Via = Via.TOKEN
    expires_at: datetime | None = None
    personal: bool = False
    """It is a row of personal_token, not of api_token."""


class UnknownCluster(Exception):
    """No ProxmoxCluster of that name is known."""


READ_AT_ONCE = 1_000

CREATE = text("""
INSERT INTO api_token (sha256, kind, name, cluster_id, expires_at)
VALUES (:sha256, :kind, :name, :cluster_id, :expires_at)
""")
FIND_CLUSTER = text("SELECT id FROM proxmox_cluster WHERE namespace = :namespace AND name = :name")
LOAD = text("""
SELECT sha256, id, kind, name, cluster_id FROM api_token
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > defib_now())
""")
BOUND = """
SELECT t.sha256, t.id, t.cluster_id, coalesce(v.hostname, t.hostname) AS hostname, v.vmid, v.node,
    coalesce(t.smbios_uuid, v.pinned_uuid)::text AS smbios_uuid
FROM agent_token t LEFT JOIN vm v ON v.id = t.vm_id
WHERE t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > defib_now())
"""
LOAD_BOUND = text(BOUND)
MARK_BOUND = text(f"""
SELECT count(*) AS tokens, sum(hashtextextended(b::text, 0)) AS said FROM ({BOUND}) AS b
""")
LOAD_PERSONAL = text("""
SELECT sha256, id, name, role, expires_at FROM personal_token
WHERE revoked_at IS NULL AND expires_at > defib_now()
""")
SESSIONS_IN_FORCE = """
FROM session s
LEFT JOIN api_token a ON a.id = s.api_token_id
LEFT JOIN personal_token p ON p.id = s.personal_token_id
WHERE s.ended_at IS NULL AND s.expires_at > defib_now()
  AND a.revoked_at IS NULL AND (a.expires_at IS NULL OR a.expires_at > defib_now())
  AND p.revoked_at IS NULL AND (p.expires_at IS NULL OR p.expires_at > defib_now())
"""
LOAD_SESSIONS = text(f"""
SELECT s.sha256, s.id, s.name, s.role, s.via, s.expires_at {SESSIONS_IN_FORCE}
""")


def digest(token: str | bytes) -> bytes:
    """Hash a token as it is stored. Tokens are random and long, so one round is enough."""
    return hashlib.sha256(token.encode() if isinstance(token, str) else token).digest()


async def create(
    connection: AsyncConnection,
    kind: TokenKind,
    name: str,
    *,
    cluster_id: int | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Make a token and return it; it cannot be read again."""
    token = f"defib_{kind.value}_{secrets.token_urlsafe(32)}"
    await connection.execute(
        CREATE,
        {
            "sha256": digest(token),
            "kind": kind.value,
            "name": name,
            "cluster_id": cluster_id,
            "expires_at": expires_at,
        },
    )
    return token


async def cluster_id_of(connection: AsyncConnection, namespace: str, name: str) -> int:
    """Find a cluster by its name; raise UnknownCluster."""
    found = await connection.execute(FIND_CLUSTER, {"namespace": namespace, "name": name})
    cluster_id = found.scalar_one_or_none()
    if cluster_id is None:
        raise UnknownCluster(f"no ProxmoxCluster {namespace}/{name} is known to the database")
    return int(cluster_id)


class BoundTokens:
    """The tokens of single machines, as last read: one for each VM, so read again only on change.

    PostgreSQL says whether there was one. Many are read a few at a time, with room in between for
    everything else that the process does.
    """

    def __init__(self) -> None:
        self._mark: object = None
        self._known: Mapping[bytes, KnownToken] = {}

    async def read(self, connection: AsyncConnection) -> Mapping[bytes, KnownToken]:
        """Return those in force, by digest."""
        mark = tuple((await connection.execute(MARK_BOUND)).one())
        if mark != self._mark:
            self._known = {
                bytes(row.sha256): _bound_token(row)
                async for row in await connection.stream(
                    LOAD_BOUND, execution_options={"yield_per": READ_AT_ONCE}
                )
            }
            self._mark = mark
        return self._known


async def load(
    connection: AsyncConnection, bound: BoundTokens | None = None
) -> dict[bytes, KnownToken]:
    """Load all tokens and sessions in force, by digest; what `bound` knows already is kept."""
    known = {bytes(row.sha256): _api_token(row) for row in await connection.execute(LOAD)}
    known.update(await (bound or BoundTokens()).read(connection))
    for row in await connection.execute(LOAD_PERSONAL):
        known[bytes(row.sha256)] = _person(row, Via.TOKEN, personal=True)
    for row in await connection.execute(LOAD_SESSIONS):
        known[bytes(row.sha256)] = _person(row, Via(row.via))
    return known


def _bound_token(row: Row[Any]) -> KnownToken:
    bound = BoundTo(row.id, row.hostname, row.vmid, row.node, row.smbios_uuid)
    return KnownToken(row.id, TokenKind.AGENT, row.hostname, row.cluster_id, bound)


def _api_token(row: Row[Any]) -> KnownToken:
    kind = TokenKind(row.kind)
    role = Role.ADMINISTRATOR if kind is TokenKind.ADMIN else None
    return KnownToken(row.id, kind, row.name, row.cluster_id, role=role)


def _person(row: Row[Any], via: Via, *, personal: bool = False) -> KnownToken:
    return KnownToken(
        row.id,
        TokenKind.ADMIN,
        row.name,
        None,
        role=Role(row.role),
        via=via,
        expires_at=row.expires_at,
        personal=personal,
    )
