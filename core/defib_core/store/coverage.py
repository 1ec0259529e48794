"""What is not covered: VMs without an agent, agents without a VM, VMs that nobody would reset.

Reads what the operator last saw of Proxmox (inventory.py). Reasons are the words that holds and
conditions use; only standing ones are listed, not those that pass by themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.config.conditions import ReadyReason
from defib_core.domain.reasons import CancelReason, HoldReason

MOST = 1000
"""So many of each list are told; the counts are of all."""
DRY_RUN = "DryRun"
"""As the API calls it where a reset that is asked for is not sent."""


@dataclass(frozen=True, slots=True)
class Agentless:
    """A VM in Proxmox that has never reported."""

    cluster: str
    node: str
    vmid: int
    name: str | None
    state: str


@dataclass(frozen=True, slots=True)
class UnknownAgent:
    """A machine that reports, and that Proxmox does not list; `vm_id` None: seen by UUID only."""

    vm_id: int | None
    hostname: str
    cluster: str
    vmid: int | None
    reason: str
    message: str
    last_heartbeat: datetime | None


@dataclass(frozen=True, slots=True)
class NotResettable:
    """A VM that would not be reset if it died now, for a reason that does not pass by itself."""

    vm_id: int
    hostname: str
    cluster: str
    node: str | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """When a cluster's list was last read; None: never."""

    cluster: str
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Counts:
    """All there are, however many are told; `inventory`: what Proxmox lists."""

    agentless: int
    unknown_agents: int
    not_resettable: int
    inventory: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """All of it, at one moment."""

    taken_at: datetime
    agentless: Sequence[Agentless]
    unknown_agents: Sequence[UnknownAgent]
    not_resettable: Sequence[NotResettable]
    clusters: Sequence[Inventory]
    counts: Counts


AGENTLESS = """
SELECT c.name AS cluster, g.node, g.vmid, g.name, g.state
FROM proxmox_guest g JOIN proxmox_cluster c ON c.id = g.cluster_id
LEFT JOIN vm v ON v.cluster_id = g.cluster_id AND v.vmid = g.vmid
LEFT JOIN vm_state s ON s.vm_id = v.id
WHERE g.kind = 'qemu' AND NOT g.template AND s.last_heartbeat IS NULL
"""
UNKNOWN_AGENTS = """
SELECT v.id AS vm_id, v.hostname, c.name AS cluster, v.vmid, s.last_heartbeat,
    CASE WHEN c.spec IS NULL THEN 'ClusterNotFound' ELSE 'VMNotFound' END AS reason
FROM vm v JOIN vm_state s ON s.vm_id = v.id JOIN proxmox_cluster c ON c.id = v.cluster_id
LEFT JOIN proxmox_guest g ON g.cluster_id = v.cluster_id AND g.vmid = v.vmid
WHERE s.last_heartbeat IS NOT NULL AND v.tombstoned_at IS NULL
  AND (c.spec IS NULL OR (c.inventory_at IS NOT NULL AND g.vmid IS NULL))
UNION ALL
SELECT NULL, m.hostname, c.name, NULL, m.sought_at, 'VMNotFound'
FROM sought_machine m JOIN proxmox_cluster c ON c.id = m.cluster_id WHERE m.vmid IS NULL
"""
# In the order in which a person has to deal with them.
NOT_RESETTABLE = """
SELECT * FROM (
    SELECT v.id AS vm_id, v.hostname, c.name AS cluster, coalesce(g.node, v.node) AS node, v.vmid,
        c.message AS trouble, g.ha_state,
        CASE WHEN v.tombstoned_at IS NULL AND v.uid IS NOT NULL THEN v.rejected_message END AS said,
        CASE
            WHEN v.tombstoned_at IS NOT NULL THEN 'Tombstoned'
            WHEN v.uid IS NULL THEN 'NotManaged'
            WHEN v.rejected IS NOT NULL THEN v.rejected
            WHEN c.spec IS NULL THEN 'ClusterNotFound'
            WHEN NOT coalesce(c.reachable, false) THEN 'ProxmoxUnreachable'
            WHEN g.vmid IS NULL AND c.inventory_at IS NOT NULL THEN 'VMNotFound'
            WHEN g.kind = 'lxc' THEN 'NotQemu'
            WHEN g.template THEN 'Template'
            WHEN NOT g.may_reset THEN 'ProxmoxForbidden'
            WHEN g.ha_state = 'error' THEN 'HAInTransition'
            WHEN NOT v.remediation_enabled THEN 'RemediationDisabled'
            WHEN NOT (p.spec ->> 'autoResetEnabled')::bool THEN 'AutoResetDisabled'
            WHEN (p.spec ->> 'dryRun')::bool THEN 'DryRun'
            WHEN s.max_attempts = 0 THEN 'AttemptsExhausted'
        END AS reason,
        s.last_heartbeat IS NOT NULL AND v.tombstoned_at IS NULL
            AND (c.spec IS NULL OR (c.inventory_at IS NOT NULL AND g.vmid IS NULL)) AS is_unknown
    FROM vm v JOIN vm_state s ON s.vm_id = v.id JOIN proxmox_cluster c ON c.id = v.cluster_id
    JOIN system_config p ON p.id = v.config_id
    LEFT JOIN proxmox_guest g ON g.cluster_id = v.cluster_id AND g.vmid = v.vmid
) AS found WHERE reason IS NOT NULL AND NOT is_unknown
"""
CLUSTERS = text("SELECT name, inventory_at FROM proxmox_cluster ORDER BY name, namespace")
LISTED = text("SELECT count(*) FROM proxmox_guest")


def _bounded(query: str, order: str) -> TextClause:
    return text(f"SELECT * FROM ({query}) AS q ORDER BY {order} LIMIT {MOST}")


def _counted(query: str) -> TextClause:
    return text(f"SELECT count(*) FROM ({query}) AS q")


AGENTLESS_SHOWN, AGENTLESS_COUNT = _bounded(AGENTLESS, "cluster, vmid"), _counted(AGENTLESS)
UNKNOWN_SHOWN = _bounded(UNKNOWN_AGENTS, "last_heartbeat DESC, hostname")
UNKNOWN_COUNT = _counted(UNKNOWN_AGENTS)
NOT_RESETTABLE_SHOWN = _bounded(NOT_RESETTABLE, "reason, hostname, vm_id")
NOT_RESETTABLE_COUNT = _counted(NOT_RESETTABLE)


async def coverage(connection: AsyncConnection, now: datetime) -> Coverage:
    """Read what is not covered."""
    agentless = await connection.execute(AGENTLESS_SHOWN)
    unknown = await connection.execute(UNKNOWN_SHOWN)
    not_resettable = await connection.execute(NOT_RESETTABLE_SHOWN)
    clusters = await connection.execute(CLUSTERS)
    return Coverage(
        taken_at=now,
        agentless=[Agentless(**row._mapping) for row in agentless],
        unknown_agents=[_unknown(row) for row in unknown],
        not_resettable=[_not_resettable(row) for row in not_resettable],
        clusters=[Inventory(row.name, row.inventory_at) for row in clusters],
        counts=await counts(connection),
    )


async def counts(connection: AsyncConnection) -> Counts:
    """Count what is not covered, without reading it."""
    return Counts(
        agentless=(await connection.execute(AGENTLESS_COUNT)).scalar_one(),
        unknown_agents=(await connection.execute(UNKNOWN_COUNT)).scalar_one(),
        not_resettable=(await connection.execute(NOT_RESETTABLE_COUNT)).scalar_one(),
        inventory=(await connection.execute(LISTED)).scalar_one(),
    )


def _unknown(row: Row[Any]) -> UnknownAgent:
    if row.vm_id is None:
        message = "it reports by its SMBIOS UUID, which no VM in Proxmox was found to have"
    elif row.reason == ReadyReason.CLUSTER_NOT_FOUND:
        message = f"there is no ProxmoxCluster {row.cluster}; apply one"
    else:
        message = (
            f"Proxmox lists no VM {row.vmid}: it is gone, the agent's vmid is wrong, or the token"
            f" lacks VM.Audit on /vms/{row.vmid}"
        )
    return UnknownAgent(message=message, **row._mapping)


READY_SAYS_WHY = "the condition Ready of its VirtualMachine says why"
MESSAGES: Mapping[str, str] = {
    ReadyReason.TOMBSTONED: "its VirtualMachine was deleted; apply one to have it watched again",
    CancelReason.NOT_MANAGED: "no VirtualMachine stands for it; apply one, or set autoRegister",
    ReadyReason.CLUSTER_NOT_FOUND: "there is no ProxmoxCluster {cluster}; apply one",
    HoldReason.PROXMOX_UNREACHABLE: "its Proxmox cluster {cluster} does not answer{trouble}",
    HoldReason.VM_NOT_FOUND: (
        "Proxmox lists no VM {vmid}: it is gone, or the token lacks VM.Audit on /vms/{vmid}"
    ),
    HoldReason.NOT_QEMU: "it is a container (LXC); Proxmox cannot reset those",
    HoldReason.TEMPLATE: "it is a template",
    HoldReason.PROXMOX_FORBIDDEN: "the token may not reset it: grant VM.PowerMgmt on /vms/{vmid}",
    HoldReason.HA_IN_TRANSITION: "its HA state is {ha_state}; HA waits for a person",
    HoldReason.REMEDIATION_DISABLED: "spec.remediation.enabled is false for this VM",
    HoldReason.AUTO_RESET_DISABLED: "autoResetEnabled is false in its SystemConfig",
    DRY_RUN: "dryRun is true in its SystemConfig",
    HoldReason.ATTEMPTS_EXHAUSTED: "its maxResetAttempts is 0: it is never reset",
}


def _not_resettable(row: Row[Any]) -> NotResettable:
    trouble = "" if row.trouble is None else f": {row.trouble}"
    message = row.said or MESSAGES.get(row.reason, READY_SAYS_WHY).format(
        cluster=row.cluster, vmid=row.vmid, ha_state=row.ha_state, trouble=trouble
    )
    return NotResettable(row.vm_id, row.hostname, row.cluster, row.node, row.reason, message)
