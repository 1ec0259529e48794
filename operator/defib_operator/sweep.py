"""The sweep: moves the states of all VMs, judges those that are down, writes intents and holds.

Two transactions under the leader's epoch with a bounded look at Proxmox between them: a slow
Proxmox delays resets, never the states. It sends nothing; the pipeline does.
"""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from defib_core.domain.brakes import ORDER, Scope
from defib_core.domain.decide import (
    Act,
    Hold,
    Look,
    Verdict,
    Wait,
    can_report,
    clock_restarts,
    decide,
    other_vm,
)
from defib_core.domain.limits import Wanting, allot
from defib_core.domain.observation import GuestFacts
from defib_core.domain.reasons import HoldReason, known_hold
from defib_core.domain.states import State
from defib_core.store import brakes, intents, lease, sweep, unable
from defib_core.store.clock import database_now
from defib_core.store.holds import Held, alert, hold_all
from defib_core.store.sweep import Candidate
from defib_core.tracing import spans
from defib_operator.braking import keep_brakes
from defib_operator.judging import Scene, case_of, floor_of, scopes, set_scene
from defib_operator.leadership import NotLeading
from defib_operator.looks import Finding, Wanted

log = structlog.get_logger(__name__)

CHECKED_AT_ONCE = 8
"""Of the VMs that a brake holds: looked at in each sweep, in turn."""
LOGGED_AT_ONCE = 100
"""Changes of states, and holds that begin, in one sweep."""


class Eyes(Protocol):
    """Looks at VMs in Proxmox, within a budget of time."""

    async def look(self, wanted: Sequence[Wanted], now: datetime) -> Mapping[int, Finding]:
        """Say what was seen of each VM."""
        ...

    def forget_all_but(self, vm_ids: frozenset[int]) -> None:
        """Stop watching VMs that are no longer suspects."""
        ...


class Ears(Protocol):
    """Knows when the Kubernetes API was last heard, by the database's clock."""

    def heard_at(self, now: datetime) -> datetime | None:
        """Say when; None where it never was."""
        ...


class Lead(Protocol):
    """Whether this replica leads."""

    @property
    def epoch(self) -> int:
        """The epoch; raises NotLeading."""
        ...

    @property
    def until(self) -> float:
        """The moment of the loop's clock up to which it surely leads; raises NotLeading."""
        ...


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did."""

    changed: int
    intents: tuple[int, ...]
    holds: int
    seconds: float


class Sweep:
    """Sweeps the whole fleet; `tick` is one sweep."""

    def __init__(self, engine: AsyncEngine, lead: Lead, eyes: Eyes, ears: Ears) -> None:
        self._engine = engine
        self._lead = lead
        self._eyes = eyes
        self._ears = ears
        self._checked_up_to = 0

    async def tick(self) -> Swept:
        """Sweep once. Raises NotLeading where another replica leads."""
        epoch = self._lead.epoch
        with spans.span("sweep"):
            swept = await self._tick(epoch)
            spans.note(changed=swept.changed, intents=len(swept.intents), holds=swept.holds)
        return swept

    async def _tick(self, epoch: int) -> Swept:
        clock = asyncio.get_running_loop()
        began = clock.time()
        async with self._engine.begin() as connection:
            scene = await self._scene(connection, epoch, sized=False)
            unwell, clocks = scene.brakes.counted.unwell, list(scene.clocks.values())
            changed = await sweep.change_states(connection, clocks, scene.now, unwell)
            shortlist = await sweep.candidates(connection, scene.now, unwell)
            await _still_leads(connection, epoch)
        _log_changes(changed)
        findings = await self._look(shortlist, scene)
        async with self._engine.begin() as connection:
            # Without a look nobody can be reset: no places are handed out.
            # Who has been given up in between is no member any more: then they are counted again.
            gave_up = any(one.to_state is State.RESET_FAILED for one in changed)
            members = None if gave_up else scene.brakes.counted.members
            scene = await self._scene(connection, epoch, sized=bool(findings), members=members)
            again = await sweep.candidates(connection, scene.now, [one.vm_id for one in shortlist])
            await keep_brakes(connection, scene.brakes, scene.now)
            made, held = await _Round(connection, scene, findings, epoch).judge_all(again)
            await _alert(connection, scene.now)
            seconds = clock.time() - began
            await sweep.swept(connection, scene.now, seconds, scene.kubernetes_heard_at)
            await _still_leads(connection, epoch)
        return Swept(len(changed), made, held, seconds)

    async def _scene(
        self,
        connection: AsyncConnection,
        epoch: int,
        *,
        sized: bool,
        members: Mapping[Scope, int] | None = None,
    ) -> Scene:
        now = await database_now(connection)
        if not await lease.seems_in_force(connection, epoch, now):
            raise NotLeading(f"epoch {epoch} has passed")
        heard = self._ears.heard_at(now)
        return await set_scene(connection, now, heard, sized=sized, members=members)

    async def _look(self, shortlist: Sequence[Candidate], scene: Scene) -> Mapping[int, Finding]:
        """Look at those that nothing else holds; watch the traffic of those that may follow."""
        suspects = scene.brakes.unbraked_suspects()
        down = {one.vm_id for one in shortlist}
        watched = down | {one.vm_id for one in suspects}
        self._eyes.forget_all_but(frozenset(watched))
        verdicts = [(one, decide(case_of(one, scene, None), scene.now)) for one in shortlist]
        braked = [one for one, verdict in verdicts if is_braked(verdict)]
        wanted = [
            Wanted(
                one.vm_id,
                one.cluster_id,
                one.vmid,
                scene.policies[one.config_id].safety,
                by_list=not one.owes_start,
            )
            for one in [
                *(one for one, verdict in verdicts if isinstance(verdict, Look)),
                *self._in_turn(braked),
            ]
        ]
        wanted += [
            Wanted(
                one.vm_id,
                one.cluster_id,
                one.vmid,
                scene.policies[one.fleet].safety,
                by_list=True,
            )
            for one in suspects
            if one.vm_id not in down  # since this very sweep
        ]
        return await self._eyes.look(wanted, scene.now)

    def _in_turn(self, braked: Sequence[Candidate]) -> Sequence[Candidate]:
        """Pick a few of those that a brake holds: who is another VM by now counts in no crowd."""
        chosen = in_turn([one.vm_id for one in braked], self._checked_up_to, CHECKED_AT_ONCE)
        if chosen:
            self._checked_up_to = chosen[-1]
        wanted = frozenset(chosen)
        return [one for one in braked if one.vm_id in wanted]


def in_turn(vm_ids: Sequence[int], after: int, most: int) -> Sequence[int]:
    """Choose some of many: those that follow the last one chosen, then from the beginning again.

    So each is chosen again after at most as many calls as it takes to go round. Pure.
    """
    following = sorted(one for one in vm_ids if one > after)
    others = sorted(one for one in vm_ids if one <= after)
    return [*following, *others][:most]


def is_braked(verdict: Verdict) -> bool:
    """Say whether something bigger than this VM holds it."""
    return isinstance(verdict, Hold) and verdict.reason in ORDER


async def _still_leads(connection: AsyncConnection, epoch: int) -> None:
    """Have the last word on the epoch at the end of a transaction.

    The lease is locked only here: the work before it may take long, and renewals must go on.
    """
    if not await lease.is_in_force(connection, epoch, await database_now(connection)):
        raise NotLeading(f"epoch {epoch} has passed")


@dataclass(frozen=True, slots=True)
class _Round:
    """The second half of a sweep: judge all, hand out the places, write what came of it."""

    connection: AsyncConnection
    scene: Scene
    findings: Mapping[int, Finding]
    epoch: int

    async def judge_all(self, judged: Sequence[Candidate]) -> tuple[tuple[int, ...], int]:
        """Return the intents made, and how many holds began."""
        verdicts = {one.vm_id: self._verdict(one) for one in judged}
        wanting = [self._wanting(one) for one in judged if isinstance(verdicts[one.vm_id], Act)]
        places = allot(wanting, self.scene.room, self.scene.policies)
        made: list[int] = []
        held: list[Held] = []
        final = {one.vm_id: places.get(one.vm_id) or verdicts[one.vm_id] for one in judged}
        restarting = {
            one.vm_id
            for one in judged
            if _clock_restarts(one, final[one.vm_id], self.findings.get(one.vm_id))
        }
        await self._note_ability(judged, restarting)
        await sweep.restart_clocks(self.connection, sorted(restarting), self.scene.now)
        for one in judged:
            verdict = final[one.vm_id]
            if one.vm_id in restarting:
                continue
            if isinstance(verdict, Act):
                made += await self._intend(one, verdict)
            elif isinstance(verdict, Hold) and not _goes_on(one, verdict):
                held.append(Held(one.vm_id, verdict.reason.value, verdict.message))
        await self._mark_brakes(judged, verdicts)
        return tuple(made), await self._hold(held)

    async def _note_ability(
        self, judged: Sequence[Candidate], restarting: AbstractSet[int]
    ) -> None:
        """Note who cannot report; of suspects also who can again."""
        ours = {one.vm_id for one in judged if one.unfinished or one.owes_start}
        down = {one.vm_id for one in judged}
        seen = [
            (vm_id, can_report(one))
            for vm_id, one in self.findings.items()
            if isinstance(one, GuestFacts)
        ]
        cannot = [vm_id for vm_id, can in seen if not can and vm_id not in ours]
        can_again = [vm_id for vm_id, can in seen if can and vm_id not in down]
        # All in one go, as the order of their ids is everybody's.
        await unable.lock(self.connection, cannot, [*can_again, *restarting])
        await unable.note(self.connection, cannot, self.scene.now)
        await unable.release(self.connection, can_again, self.scene.now)

    def _verdict(self, one: Candidate) -> Verdict:
        """Judge; a brake on a fleet is not for a VM that is another one by now."""
        finding = self.findings.get(one.vm_id)
        case = case_of(one, self.scene, finding)
        verdict = decide(case, self.scene.now)
        if not is_braked(verdict):
            return verdict
        if isinstance(finding, GuestFacts):
            return other_vm(case, finding) or verdict
        if one.hold_reason == HoldReason.IDENTITY_MISMATCH:
            return Hold(HoldReason.IDENTITY_MISMATCH, one.hold_message or "")
        return verdict

    async def _mark_brakes(
        self, judged: Sequence[Candidate], verdicts: Mapping[int, Verdict]
    ) -> None:
        """Note which brakes held somebody: only their end begins a cooldown."""
        groups = {
            (one.config_id, scopes(one, self.scene.policies[one.config_id]))
            for one in judged
            if is_braked(verdicts[one.vm_id])
        }
        in_force = self.scene.brakes.in_force
        held = {scope for fleet, found in groups for scope in found if (fleet, scope) in in_force}
        for scope in sorted(held):
            await brakes.mark_held(self.connection, scope)

    def _wanting(self, one: Candidate) -> Wanting:
        seen = self.findings[one.vm_id]
        return Wanting(
            vm_id=one.vm_id,
            fleet=one.config_id,
            node=(one.cluster_id, seen.node if isinstance(seen, GuestFacts) else one.node),
            attempts=one.reset_attempts,
            silence=self.scene.now - (one.last_heartbeat or one.clock_floor),
        )

    async def _hold(self, held: Sequence[Held]) -> int:
        """Write all holds at once; return how many are new. Of very many a few are logged."""
        opened = await hold_all(self.connection, held, self.scene.now)
        new = [one for one in held if one.vm_id in opened]
        for one in new[:LOGGED_AT_ONCE]:
            log.info("held", vm=one.vm_id, reason=one.reason, why=one.message)
        if len(new) > LOGGED_AT_ONCE:
            log.info("held_more", vms=len(new) - LOGGED_AT_ONCE)
        return len(new)

    async def _intend(self, one: Candidate, verdict: Act) -> list[int]:
        dry_run = self.scene.policies[one.config_id].dry_run
        if dry_run and one.dry_run_done:
            return []
        decision = _decision(one, self.scene, self.findings.get(one.vm_id))
        intent = intents.AutoIntent(
            one.vm_id, verdict.action, dry_run, decision, owes_start=one.owes_start
        )
        made = await intents.create_auto(
            self.connection, intent, epoch=self.epoch, now=self.scene.now
        )
        if made is None:
            return []
        await sweep.end_hold(self.connection, one.vm_id, self.scene.now)
        log.info(
            "reset_intended",
            vm=one.vm_id,
            intent=made,
            action=verdict.action.value,
            dry_run=dry_run,
        )
        return [made]


def _log_changes(changed: Sequence[sweep.Change]) -> None:
    """Log each change; of very many a few, and the number of the others."""
    for one in changed[:LOGGED_AT_ONCE]:
        log.info("state_changed", vm=one.vm_id, **{"from": one.from_state}, to=one.to_state)
    if len(changed) > LOGGED_AT_ONCE:
        log.info("state_changed_more", vms=len(changed) - LOGGED_AT_ONCE)


async def _alert(connection: AsyncConnection, now: datetime) -> None:
    for vm_id in await alert(connection, now):
        log.warning("agent_suspected", vm=vm_id, why="signs of life for an hour, and no report")


def _goes_on(one: Candidate, held: Hold) -> bool:
    """Say whether its hold is this one already, word for word: then there is nothing to write."""
    now = (held.reason, held.message)
    return (one.hold_reason, one.hold_message) == now and not one.hold_released


def _clock_restarts(one: Candidate, verdict: Verdict, finding: Finding | None) -> bool:
    """Say whether what kept the guest from reporting is over: by its hold, the list or a look."""
    if isinstance(verdict, Act) and one.proxmox_busy and not one.owes_start:
        return True
    if one.was_unable and isinstance(finding, GuestFacts) and can_report(finding):
        return not isinstance(verdict, Wait)
    if one.hold_reason is None or one.hold_released:
        return False
    held = known_hold(one.hold_reason)
    if held is None:
        # Of a later version's word nobody knows here whether the guest could report under it.
        return not isinstance(verdict, Wait)
    return clock_restarts(held, verdict)


def _decision(one: Candidate, scene: Scene, finding: Finding | None) -> dict[str, Any]:
    """What the decision rested on, for the person who asks why."""
    guest = {key: _plain(value) for key, value in asdict(finding).items()} if finding else {}
    return {
        "lastHeartbeat": _plain(one.last_heartbeat),
        "clockFloor": _plain(floor_of(one, scene)),
        "staleTimeoutSeconds": one.stale_timeout.total_seconds(),
        "judgedAt": _plain(scene.now),
        "attemptsBefore": one.reset_attempts,
        "proxmox": guest,
    }


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
