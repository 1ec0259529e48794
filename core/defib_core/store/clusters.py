"""Proxmox clusters: where they are, what was last seen of them, and what they say of our VMs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Cluster:
    """A mirrored ProxmoxCluster; `spec` is None where no object of that name exists."""

    id: int
    namespace: str
    name: str
    uid: str | None
    generation: int | None
    spec: Mapping[str, Any] | None
    invalid: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a cluster brought."""

    reachable: bool
    version: str | None
    quorate: bool | None
    nodes: Mapping[str, bool | None]
    token_missing: tuple[str, ...]
    message: str | None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where Proxmox's list shows a VM."""

    vmid: int
    node: str
    is_qemu: bool
    state: str | None
    """running, stopped or template; None where the list does not know."""
    busy: bool
    """It cannot report: locked, switched off, or its node is away."""


ALL = text("""
SELECT id, namespace, name, uid, generation, spec, invalid FROM proxmox_cluster ORDER BY id
""")
SAW = text("""
UPDATE proxmox_cluster SET reachable = :reachable, version = coalesce(:version, version),
    quorate = :quorate, nodes = :nodes, token_missing = CAST(:token_missing AS text[]),
    message = :message, checked_at = :now
WHERE id = :cluster_id
""").bindparams(bindparam("nodes", type_=JSONB))
PLACE = text("""
WITH seen AS (
    SELECT * FROM unnest(
        CAST(:vmids AS int[]), CAST(:nodes AS text[]), CAST(:qemu AS bool[]),
        CAST(:states AS text[]), CAST(:busy AS bool[])
    ) AS s(vmid, node, is_qemu, state, busy)
),
due AS (
    SELECT v.id, seen.node, seen.is_qemu, seen.state, seen.busy,
        v.proxmox_busy AND NOT seen.busy AS released
    FROM vm_state s JOIN vm v ON v.id = s.vm_id JOIN seen ON seen.vmid = v.vmid
    WHERE v.cluster_id = :cluster_id
      AND ((v.node, v.proxmox_state, v.proxmox_busy)
               IS DISTINCT FROM (seen.node, seen.state, seen.busy)
           OR (v.rejected IS NOT DISTINCT FROM 'NotQemu') = seen.is_qemu)
    ORDER BY s.vm_id
    FOR UPDATE OF s
),
changed AS (
    UPDATE vm SET node = due.node, proxmox_state = due.state, proxmox_busy = due.busy,
        unable_since = CASE WHEN due.released THEN NULL ELSE vm.unable_since END,
        rejected = CASE WHEN NOT due.is_qemu THEN 'NotQemu'
                        WHEN vm.rejected = 'NotQemu' THEN NULL ELSE vm.rejected END,
        rejected_message = CASE
            WHEN NOT due.is_qemu THEN 'it is a container (LXC); Proxmox cannot reset those'
            WHEN vm.rejected = 'NotQemu' THEN NULL ELSE vm.rejected_message END
    FROM due WHERE vm.id = due.id
    RETURNING vm.id, due.released
),
restarted AS (
    UPDATE vm_state s SET clock_floor = :now FROM changed c WHERE c.id = s.vm_id AND c.released
),
released AS (
    -- Or the sweep would start the clock once more when it finds the hold over.
    UPDATE hold h SET released_at = :now FROM changed c
    WHERE h.vm_id = c.id AND c.released AND h.ended_at IS NULL
)
INSERT INTO status_outbox (vm_id) SELECT id FROM changed
""")
GONE = text("""
UPDATE vm SET proxmox_state = 'gone'
WHERE cluster_id = :cluster_id AND vmid <> ALL (CAST(:vmids AS int[]))
  AND proxmox_state IS DISTINCT FROM 'gone'
""")
UNPINNED = text("""
SELECT id AS vm_id, vmid, node FROM vm
WHERE cluster_id = :cluster_id AND pinned_uuid IS NULL AND uid IS NOT NULL AND node IS NOT NULL
  AND rejected IS NULL
ORDER BY random() LIMIT :limit
""")
PIN = text("UPDATE vm SET pinned_uuid = :uuid WHERE id = :vm_id AND pinned_uuid IS NULL")


@dataclass(frozen=True, slots=True)
class Unpinned:
    """A VM whose SMBIOS UUID is not known yet."""

    vm_id: int
    vmid: int
    node: str


async def all_clusters(connection: AsyncConnection) -> Sequence[Cluster]:
    """Read every mirrored cluster."""
    return [Cluster(**row._mapping) for row in await connection.execute(ALL)]


async def saw(connection: AsyncConnection, cluster_id: int, seen: Seen, now: datetime) -> None:
    """Keep what a look at a cluster brought."""
    nodes = [{"name": name, "online": online} for name, online in sorted(seen.nodes.items())]
    await connection.execute(
        SAW,
        {
            "cluster_id": cluster_id,
            "reachable": seen.reachable,
            "version": seen.version,
            "quorate": seen.quorate,
            "nodes": nodes,
            "token_missing": list(seen.token_missing),
            "message": seen.message,
            "now": now,
        },
    )


async def place(
    connection: AsyncConnection, cluster_id: int, placed: Sequence[Placed], now: datetime
) -> None:
    """Keep where each VM is and what it is; one that can report again has its clock restarted.

    An empty list says nothing: a token without rights sees one.
    """
    if not placed:
        return
    bound = {
        "cluster_id": cluster_id,
        "vmids": [one.vmid for one in placed],
        "nodes": [one.node for one in placed],
        "qemu": [one.is_qemu for one in placed],
        "states": [one.state for one in placed],
        "busy": [one.busy for one in placed],
        "now": now,
    }
    await connection.execute(PLACE, bound)
    await connection.execute(GONE, {"cluster_id": cluster_id, "vmids": bound["vmids"]})


async def unpinned(connection: AsyncConnection, cluster_id: int, limit: int) -> Sequence[Unpinned]:
    """Read some managed VMs whose SMBIOS UUID was never seen."""
    rows = await connection.execute(UNPINNED, {"cluster_id": cluster_id, "limit": limit})
    return [Unpinned(**row._mapping) for row in rows]


async def pin(connection: AsyncConnection, vm_id: int, uuid: str) -> None:
    """Keep the UUID that a VM had at first sight; a later one is an IdentityMismatch."""
    await connection.execute(PIN, {"vm_id": vm_id, "uuid": uuid})
