"""API tokens: made here, shown once, kept as SHA-256 digests only."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


class TokenKind(StrEnum):
    """What a token is for."""

    AGENT = "agent"
    """Reports for VMs of the one cluster it is bound to."""
    ADMIN = "admin"
    """Reads and acts through the dashboard's API."""


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


class UnknownCluster(Exception):
    """No ProxmoxCluster of that name is known."""


CREATE = text("""
INSERT INTO api_token (sha256, kind, name, cluster_id, expires_at)
VALUES (:sha256, :kind, :name, :cluster_id, :expires_at)
""")
FIND_CLUSTER = text("SELECT id FROM proxmox_cluster WHERE namespace = :namespace AND name = :name")
LOAD = text("""
SELECT sha256, id, kind, name, cluster_id FROM api_token
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > defib_now())
""")
LOAD_BOUND = text("""
SELECT t.sha256, t.id, t.cluster_id, coalesce(v.hostname, t.hostname) AS hostname, v.vmid, v.node,
    coalesce(t.smbios_uuid, v.pinned_uuid)::text AS smbios_uuid
FROM agent_token t LEFT JOIN vm v ON v.id = t.vm_id
WHERE t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > defib_now())
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


async def load(connection: AsyncConnection) -> dict[bytes, KnownToken]:
    """Load all tokens in force, by digest."""
    known = {
        bytes(row.sha256): KnownToken(row.id, TokenKind(row.kind), row.name, row.cluster_id)
        for row in await connection.execute(LOAD)
    }
    for row in await connection.execute(LOAD_BOUND):
        bound = BoundTo(row.id, row.hostname, row.vmid, row.node, row.smbios_uuid)
        token = KnownToken(row.id, TokenKind.AGENT, row.hostname, row.cluster_id, bound)
        known[bytes(row.sha256)] = token
    return known
