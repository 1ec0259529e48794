"""What the API reads: a VM, its resets, the fleet's counts. Lists of VMs are in vm_rows.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.actions import Action, Phase, Source
from defib_core.domain.states import State


@dataclass(frozen=True, slots=True)
class VmView:
    """A VM as the API shows it. RAM and disk in MiB, CPU in percent, uptime in seconds."""

    id: int
    vmid: int
    cluster: str
    hostname: str
    node: str | None
    namespace: str | None
    name: str | None
    labels: Mapping[str, str]
    status: str | None
    state: State
    state_since: datetime
    last_heartbeat: datetime | None
    cpu: float | None
    ram: int | None
    ram_total: int | None
    disk: int | None
    disk_total: int | None
    uptime: int | None
    reset_attempts: int
    max_attempts: int
    reset_pending: bool
    last_attempt_at: datetime | None
    hold_reason: str | None
    hold_message: str | None
    hold_since: datetime | None
    paused_reason: str | None
    paused_until: datetime | None
    tombstoned_at: datetime | None


@dataclass(frozen=True, slots=True)
class ResetView:
    """One line of a VM's reset history."""

    id: int
    phase: Phase
    action: Action
    source: Source
    actor: str
    reason: str
    attempt: int
    node: str | None
    upid: str | None
    proxmox_response: Mapping[str, Any] | None
    error: str | None
    cancelled_by: str | None
    requested_at: datetime
    sent_at: datetime | None
    finished_at: datetime | None
    recovered_at: datetime | None


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """How many VMs are in each state, and the SystemConfig `default` in force."""

    by_state: Mapping[State, int]
    config: Mapping[str, Any]


VM_COLUMNS = """
SELECT v.id, v.vmid, c.name AS cluster, v.hostname, v.node, v.namespace, v.name, v.labels,
    s.status, s.state, s.state_since, s.last_heartbeat, s.cpu, s.ram, s.ram_total, s.disk,
    s.disk_total, s.uptime, s.reset_attempts, s.max_attempts, s.reset_pending, s.last_attempt_at,
    h.reason AS hold_reason, h.message AS hold_message, h.started_at AS hold_since,
    z.reason AS paused_reason, z.until AS paused_until, v.tombstoned_at
FROM vm v
JOIN vm_state s ON s.vm_id = v.id
JOIN vm_paused z ON z.vm_id = v.id
JOIN proxmox_cluster c ON c.id = v.cluster_id
LEFT JOIN hold h ON h.vm_id = v.id AND h.ended_at IS NULL
"""
ONE_VM = text(VM_COLUMNS + "WHERE v.id = :vm_id")

RESET_COLUMNS = """
SELECT id, phase, action, source, actor, reason, attempt, node, upid, proxmox_response, error,
    cancelled_by, requested_at, sent_at, finished_at, recovered_at
FROM reset_history
"""
RESETS = text(RESET_COLUMNS + "WHERE vm_id = :vm_id ORDER BY id DESC LIMIT :limit")
ONE_RESET = text(RESET_COLUMNS + "WHERE id = :intent_id")

COUNTS = text("SELECT state, count(*) AS vms FROM vm_state GROUP BY state")
CONFIG = text("SELECT spec FROM system_config WHERE namespace = :namespace AND name = 'default'")


async def one_vm(connection: AsyncConnection, vm_id: int) -> VmView | None:
    """Read one VM; None where there is none."""
    row = (await connection.execute(ONE_VM, {"vm_id": vm_id})).one_or_none()
    return None if row is None else _vm(row)


async def resets_of(connection: AsyncConnection, vm_id: int, limit: int) -> Sequence[ResetView]:
    """Read a VM's reset history, newest first."""
    rows = await connection.execute(RESETS, {"vm_id": vm_id, "limit": limit})
    return [_reset(row) for row in rows]


async def one_reset(connection: AsyncConnection, intent_id: int) -> ResetView | None:
    """Read one intent; None where there is none."""
    row = (await connection.execute(ONE_RESET, {"intent_id": intent_id})).one_or_none()
    return None if row is None else _reset(row)


async def fleet_counts(connection: AsyncConnection, namespace: str) -> FleetCounts:
    """Count the VMs by state, and read the default SystemConfig of the namespace."""
    spec = (await connection.execute(CONFIG, {"namespace": namespace})).scalar_one()
    return FleetCounts(await state_counts(connection), spec)


async def state_counts(connection: AsyncConnection) -> Mapping[State, int]:
    """Count the VMs by state."""
    counted = {State(row.state): row.vms for row in await connection.execute(COUNTS)}
    return {state: counted.get(state, 0) for state in State}


def _vm(row: Row[Any]) -> VmView:
    return VmView(**{**row._mapping, "state": State(row.state)})


def _reset(row: Row[Any]) -> ResetView:
    words = {
        "phase": Phase(row.phase),
        "action": Action(row.action),
        "source": Source(row.source),
    }
    return ResetView(**{**row._mapping, **words})
