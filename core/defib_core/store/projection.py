"""What the operator writes into the status of custom resources, and the queue of those to write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.states import State
from defib_core.store.holds import ALERTING


@dataclass(frozen=True, slots=True)
class LastReset:
    """The newest reset that was sent, or dry-run, or that a person asked for in vain."""

    at: datetime
    reason: str
    outcome: str
    upid: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class LastChange:
    """The newest transition."""

    id: int
    at: datetime
    from_state: str
    to_state: str
    reason: str


@dataclass(frozen=True, slots=True)
class VmStatus:
    """All that the status of one VirtualMachine is made of."""

    vm_id: int
    namespace: str
    name: str
    uid: str
    generation: int
    hostname: str
    node: str | None
    state: State
    last_heartbeat: datetime | None
    cpu: float | None
    ram: int | None
    ram_total: int | None
    reports: int
    reset_attempts: int
    max_attempts: int
    reset_pending: bool
    remediation_enabled: bool
    auto_reset_enabled: bool
    paused_reason: str | None
    paused_until: datetime | None
    rejected: str | None
    rejected_message: str | None
    cluster: str
    cluster_known: bool
    hold_reason: str | None
    hold_message: str | None
    agent_suspected: bool
    """Held by a sign of life for an hour."""
    last_reset: LastReset | None
    last_change: LastChange | None
    clone_since: datetime | None
    """Since when two machines seem to report as this VM."""
    written: Mapping[str, Any] | None
    """The status last written to this very object."""


@dataclass(frozen=True, slots=True)
class Queued:
    """VMs to write, and exactly those rows of the queue that this settles."""

    vm_ids: frozenset[int]
    row_ids: tuple[int, ...]


# All rows of these VMs, however often they were queued: what is read after this says it all.
NEXT = text("""
SELECT q.id, q.vm_id FROM status_outbox q
WHERE q.vm_id IN (SELECT vm_id FROM status_outbox ORDER BY id LIMIT :limit)
""")
SETTLE = text("DELETE FROM status_outbox WHERE id = ANY (CAST(:row_ids AS bigint[]))")
AGAIN = text("INSERT INTO status_outbox (vm_id) SELECT unnest(CAST(:vm_ids AS bigint[]))")
STATUSES = text(f"""
SELECT v.id AS vm_id, v.namespace, v.name, v.uid, v.generation, v.hostname, v.node, s.state,
    s.last_heartbeat, s.cpu, s.ram, s.ram_total, s.reports, s.reset_attempts, s.max_attempts,
    s.reset_pending, v.remediation_enabled, z.reason AS paused_reason, z.until AS paused_until,
    v.rejected, v.rejected_message, c.name AS cluster, c.spec IS NOT NULL AS cluster_known,
    (g.spec ->> 'autoResetEnabled')::bool AS auto_reset_enabled,
    h.reason AS hold_reason, h.message AS hold_message,
    coalesce({ALERTING}, false) AS agent_suspected,
    (SELECT to_jsonb(r) FROM (
        SELECT requested_at AS at, reason, phase AS outcome, upid, error
        FROM reset_history WHERE vm_id = v.id
          AND (sent_at IS NOT NULL OR phase = 'dry_run'
               OR (phase = 'cancelled' AND source <> 'auto'))
        ORDER BY id DESC LIMIT 1) r) AS last_reset,
    (SELECT to_jsonb(t) FROM (
        SELECT id, at, from_state, to_state, reason
        FROM vm_transition WHERE vm_id = v.id ORDER BY id DESC LIMIT 1) t) AS last_change,
    s.clone_since, p.status AS written
FROM vm v
JOIN vm_state s ON s.vm_id = v.id
JOIN vm_paused z ON z.vm_id = v.id
JOIN proxmox_cluster c ON c.id = v.cluster_id
JOIN system_config g ON g.id = v.config_id
LEFT JOIN hold h ON h.vm_id = v.id AND h.ended_at IS NULL
LEFT JOIN vm_projection p ON p.vm_id = v.id AND p.uid = v.uid
WHERE v.id = ANY (CAST(:vm_ids AS bigint[])) AND v.uid IS NOT NULL
""")

FLEETS = text("""
SELECT c.namespace, c.name, c.uid, count(v.id) FILTER (WHERE v.tombstoned_at IS NULL) AS vms
FROM system_config c LEFT JOIN vm v ON v.config_id = c.id
WHERE c.uid IS NOT NULL GROUP BY c.id
""")

WROTE = text("""
INSERT INTO vm_projection (vm_id, uid, status, written_at)
SELECT w.vm_id, w.uid, w.status, :now
FROM jsonb_to_recordset(:written) AS w(vm_id bigint, uid text, status jsonb)
JOIN vm v ON v.id = w.vm_id
ORDER BY w.vm_id
ON CONFLICT (vm_id) DO UPDATE SET
    uid = excluded.uid, status = excluded.status, written_at = excluded.written_at
""").bindparams(bindparam("written", type_=JSONB))

UNREGISTERED = text("""
SELECT v.id AS vm_id, v.vmid, v.hostname, c.name AS cluster, c.namespace
FROM vm v
JOIN proxmox_cluster c ON c.id = v.cluster_id
JOIN system_config g ON g.id = v.config_id
WHERE v.uid IS NULL AND v.tombstoned_at IS NULL AND v.registered_by = 'agent'
  AND (g.spec ->> 'autoRegister')::bool
ORDER BY v.id LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class Unregistered:
    """A VM that reports and has no custom resource yet."""

    vm_id: int
    vmid: int
    hostname: str
    cluster: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """A SystemConfig's object, and how many VMs it applies to."""

    namespace: str
    name: str
    uid: str
    vms: int


async def fleets(connection: AsyncConnection) -> Sequence[Fleet]:
    """Count the VMs of each SystemConfig."""
    return [Fleet(**row._mapping) for row in await connection.execute(FLEETS)]


async def next_queued(connection: AsyncConnection, limit: int) -> Queued | None:
    """Look at the oldest entries of the queue; None where it is empty."""
    rows = (await connection.execute(NEXT, {"limit": limit})).all()
    if not rows:
        return None
    return Queued(frozenset(row.vm_id for row in rows), tuple(row.id for row in rows))


async def settle(connection: AsyncConnection, queued: Queued, again: Sequence[int] = ()) -> None:
    """Take what was written off the queue; put back what could not be."""
    await connection.execute(SETTLE, {"row_ids": list(queued.row_ids)})
    if again:
        await connection.execute(AGAIN, {"vm_ids": list(again)})


async def statuses(connection: AsyncConnection, vm_ids: frozenset[int]) -> Sequence[VmStatus]:
    """Read what the statuses of these VMs are made of; VMs without an object are left out."""
    return [_status(row) for row in await connection.execute(STATUSES, {"vm_ids": list(vm_ids)})]


async def wrote(
    connection: AsyncConnection,
    written: Sequence[tuple[VmStatus, Mapping[str, Any]]],
    now: datetime,
) -> None:
    """Keep what was written, so that the next write changes only what is new."""
    if not written:
        return
    rows = [{"vm_id": one.vm_id, "uid": one.uid, "status": dict(status)} for one, status in written]
    await connection.execute(WROTE, {"written": rows, "now": now})


def _status(row: Row[Any]) -> VmStatus:
    reset, change = row.last_reset, row.last_change
    parts = {
        "state": State(row.state),
        "last_reset": None if reset is None else LastReset(**_dated(reset)),
        "last_change": None if change is None else LastChange(**_dated(change)),
    }
    return VmStatus(**{**row._mapping, **parts})


def _dated(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {**raw, "at": datetime.fromisoformat(raw["at"])}


async def unregistered(connection: AsyncConnection, limit: int) -> Sequence[Unregistered]:
    """Read VMs that report without a custom resource and may be given one."""
    rows = await connection.execute(UNREGISTERED, {"limit": limit})
    return [Unregistered(**row._mapping) for row in rows]
