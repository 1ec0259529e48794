"""Looks at single VMs in Proxmox and says what was seen in the decision's words.

Bounded: so many at a time for each node, and so long in all. What was not seen in time is
unreachable, and holds.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from defib_core.domain.observation import AgentAnswer, GuestFacts, IoAnswer, LookFailure
from defib_core.domain.policy import LifeSignal, SafetyPolicy
from defib_core.domain.reasons import HoldReason
from defib_operator.clusters import Unconnected, View
from defib_operator.proxmox import (
    AgentPing,
    GuestKind,
    GuestLook,
    InventoryVm,
    IoCounters,
    Lane,
    PowerStatus,
    ProxmoxClient,
    ProxmoxError,
    ProxmoxForbidden,
    ProxmoxNodeUnreachable,
    ProxmoxNotFound,
    ProxmoxUnauthorized,
)

log = structlog.get_logger(__name__)

AT_A_TIME_PER_NODE = 4
IO_THRESHOLD_BYTES = 64 * 1024
LONGEST_WINDOW = timedelta(minutes=5)
AT_ONCE = timedelta(0)
"""Less than this has passed only where the clock was set back: what was seen before is void."""

Finding = GuestFacts | LookFailure

AGENT_WORDS = {
    AgentPing.ANSWERED: AgentAnswer.ANSWERED,
    AgentPing.SILENT: AgentAnswer.SILENT,
    AgentPing.NOT_CONFIGURED: AgentAnswer.NO_EVIDENCE,
    AgentPing.FORBIDDEN: AgentAnswer.NO_EVIDENCE,
    AgentPing.UNKNOWN: AgentAnswer.NO_EVIDENCE,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A VM to look at."""

    vm_id: int
    cluster_id: int
    vmid: int
    safety: SafetyPolicy
    lane: Lane = Lane.SWEEP
    by_list: bool = False
    """Where the list says that it is switched off, that is enough: it is not asked by itself."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at: datetime
    bytes: int
    after_quiet: bool = False
    """The window before this sample was quiet."""


class IoWatch:
    """Traffic counters of suspects over time; forgets a VM that is no longer watched.

    A window begins anew after some minutes: over an hour even the ARP replies of a dead guest would
    add up to a sign of life.
    """

    def __init__(self) -> None:
        self._first: dict[int, _Sample] = {}

    def judge(self, vm_id: int, counters: IoCounters, window: timedelta, now: datetime) -> IoAnswer:
        """Compare with the sample that began the window. The counters only ever grow."""
        total = _total(counters)
        if total is None:
            return IoAnswer.NO_EVIDENCE
        first = self._first.get(vm_id)
        longest = max(window, LONGEST_WINDOW)
        if first is None or total < first.bytes or not AT_ONCE <= now - first.at <= 4 * longest:
            self._first[vm_id] = _Sample(now, total)
            return IoAnswer.STILL_LOOKING
        lasted = now - first.at
        if total - first.bytes >= IO_THRESHOLD_BYTES:
            if lasted >= window:
                self._first[vm_id] = _Sample(now, total)
            return IoAnswer.ACTIVE
        if lasted >= longest:
            self._first[vm_id] = _Sample(now, total, after_quiet=True)
        return IoAnswer.QUIET if lasted >= window or first.after_quiet else IoAnswer.STILL_LOOKING

    def forget(self, vm_id: int) -> None:
        """Begin anew with this VM: the window must not span time in which it could do nothing."""
        self._first.pop(vm_id, None)

    def keep_only(self, vm_ids: frozenset[int]) -> None:
        """Forget the VMs that are no longer suspects."""
        self._first = {vm_id: one for vm_id, one in self._first.items() if vm_id in vm_ids}


def _total(counters: IoCounters) -> int | None:
    parts = (counters.disk_read, counters.disk_write, counters.net_out)
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


class Looker:
    """Looks at VMs in the clusters as they were last viewed."""

    def __init__(self, budget: timedelta) -> None:
        self._budget = budget
        self._io = IoWatch()
        self._round = 0
        self._seen_in: dict[int, int] = {}

    async def look_at_all(
        self, wanted: Sequence[Wanted], views: Mapping[int, View], now: datetime
    ) -> dict[int, Finding]:
        """Look at each VM; one that was not seen within the budget is unreachable."""
        gates: dict[tuple[int, str], asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(AT_A_TIME_PER_NODE)
        )
        tasks = {
            one.vm_id: asyncio.create_task(self._gated(one, views.get(one.cluster_id), gates, now))
            for one in self._longest_unseen_first(wanted)
        }
        if tasks:
            await asyncio.wait(tasks.values(), timeout=self._budget.total_seconds())
        return {vm_id: _result(task) for vm_id, task in tasks.items()}

    def _longest_unseen_first(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Order the looks so that a budget that is too short for all starves nobody."""
        self._round += 1
        return sorted(wanted, key=lambda one: (self._seen_in.get(one.vm_id, 0), one.vm_id))

    def forget_all_but(self, vm_ids: frozenset[int]) -> None:
        """Stop watching the traffic of VMs that are no longer suspects."""
        self._io.keep_only(vm_ids)
        self._seen_in = {vm_id: seen for vm_id, seen in self._seen_in.items() if vm_id in vm_ids}

    async def _gated(
        self,
        one: Wanted,
        view: View | None,
        gates: dict[tuple[int, str], asyncio.Semaphore],
        now: datetime,
    ) -> Finding:
        if view is None or view.inventory is None or view.client is None:
            return _trouble(None if view is None else view.trouble)
        row = view.inventory.find(one.vmid)
        if row is None:
            return _not_listed(view, one.vmid)
        online = view.inventory.nodes.get(row.node)
        if row.kind is not GuestKind.QEMU or online is not True:
            is_qemu = row.kind is not GuestKind.LXC
            return GuestFacts(row.node, node_online=online, is_qemu=is_qemu, qmpstatus=None)
        if one.by_list and row.status is PowerStatus.STOPPED:
            self._io.forget(one.vm_id)
            return _off(row)
        async with gates[one.cluster_id, row.node]:
            return await self._look(one, view, view.client, row.node, now)

    async def _look(
        self, one: Wanted, view: View, client: ProxmoxClient, node: str, now: datetime
    ) -> Finding:
        self._seen_in[one.vm_id] = self._round
        try:
            seen = await client.look(node, one.vmid, one.lane)
        except ProxmoxError as error:
            return _trouble(error)
        if seen.power is PowerStatus.UNKNOWN:
            return LookFailure(HoldReason.PROXMOX_UNREACHABLE, "its power status is not known")
        if seen.power is PowerStatus.RUNNING and seen.qmpstatus is None:
            return LookFailure(HoldReason.PROXMOX_UNREACHABLE, "its run state is not known")
        if seen.lock or not _runs(seen):
            self._io.forget(one.vm_id)  # what it does not do now, it could not do
        answer = AgentAnswer.NO_EVIDENCE
        signals = one.safety.second_life_signals
        if LifeSignal.GUEST_AGENT in signals and seen.agent_configured and _runs(seen):
            answer = AGENT_WORDS[await client.agent_ping(node, one.vmid, one.lane)]
        io = self._io.judge(one.vm_id, seen.counters, one.safety.io_window, now)
        return _facts(seen, view, answer, io, now)


def _off(row: InventoryVm) -> GuestFacts:
    """What the list says of a VM that is switched off."""
    return GuestFacts(
        row.node,
        template=row.template,
        name=row.name,
        running=False,
        qmpstatus=None,
        lock=row.lock,
        ha_state=row.ha_state,
        asked=False,
    )


def _runs(seen: GuestLook) -> bool:
    return seen.power is PowerStatus.RUNNING and seen.qmpstatus == "running"


def _facts(
    seen: GuestLook, view: View, agent: AgentAnswer, io: IoAnswer, now: datetime
) -> GuestFacts:
    uptime = seen.uptime_seconds
    return GuestFacts(
        node=seen.node,
        template=seen.template,
        name=seen.name,
        smbios_uuid=None if seen.smbios_uuid is None else str(seen.smbios_uuid),
        running=seen.power is PowerStatus.RUNNING,
        qmpstatus=seen.qmpstatus,
        lock=seen.lock,
        ha_state=seen.ha_state if seen.ha_managed else None,
        reset_switches_off=seen.reset_switches_off,
        started_at=None if uptime is None else now - timedelta(seconds=uptime),
        quorate=None if view.inventory is None else view.inventory.quorate,
        agent=agent,
        io=io,
    )


def _not_listed(view: View, vmid: int) -> LookFailure:
    assert view.inventory is not None
    if view.inventory.empty_is_suspicious:
        return LookFailure(
            HoldReason.PROXMOX_FORBIDDEN,
            "Proxmox lists no VM at all: the token probably lacks VM.Audit",
        )
    return LookFailure(
        HoldReason.VM_NOT_FOUND,
        f"Proxmox lists no VM {vmid}: it is gone, or the token lacks VM.Audit on /vms/{vmid}",
    )


def _trouble(error: ProxmoxError | Unconnected | None) -> LookFailure:
    match error:
        case ProxmoxForbidden() | ProxmoxUnauthorized():
            return LookFailure(HoldReason.PROXMOX_FORBIDDEN, str(error))
        case ProxmoxNotFound():
            return LookFailure(HoldReason.VM_NOT_FOUND, str(error))
        case ProxmoxNodeUnreachable():
            return LookFailure(HoldReason.NODE_OFFLINE, str(error))
        case None:
            return LookFailure(HoldReason.PROXMOX_UNREACHABLE, "it was not looked at yet")
        case _:
            return LookFailure(HoldReason.PROXMOX_UNREACHABLE, str(error))


def _result(task: asyncio.Task[Finding]) -> Finding:
    if not task.done():
        task.cancel()
        return LookFailure(HoldReason.PROXMOX_UNREACHABLE, "Proxmox did not answer in time")
    error = task.exception()
    if error is None:
        return task.result()
    # A fault of ours in one look must not stop the sweep of all others.
    log.error("look_failed", exc_info=error)
    return LookFailure(HoldReason.PROXMOX_UNREACHABLE, f"looking at it failed: {error!r}")
