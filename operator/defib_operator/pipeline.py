"""The one path to a reset: takes intents up, judges them again, and hands them on to be posted.

Everything it knows is in PostgreSQL: after a crash at any point the next leader goes on from the
rows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.domain.actions import Phase
from defib_core.domain.decide import Act, Hold, can_report, decide
from defib_core.domain.limits import NodeKey, Room, Wanting, allot
from defib_core.domain.observation import GuestFacts
from defib_core.domain.reasons import CancelReason
from defib_core.store import execution, unable
from defib_core.store.clock import CLOCK_JUMP, database_now
from defib_core.store.execution import Intent
from defib_core.store.sweep import Candidate
from defib_core.tracing import spans
from defib_operator.clusters import Unconnected
from defib_operator.judging import Scene, case_of
from defib_operator.leadership import NotLeading, leading
from defib_operator.looks import Finding, Wanted
from defib_operator.posting import FOLLOW_FOR, SEARCH_FOR, Checkpoint, Posting, Sent, nothing
from defib_operator.proxmox import Lane, ProxmoxClient
from defib_operator.reset_trace import tell_end, tell_waited, trace_of
from defib_operator.scene_reader import SceneReader
from defib_operator.sweep import Ears, Eyes, Lead

log = structlog.get_logger(__name__)

LOOK_FOR_WORK_EVERY = timedelta(milliseconds=500)
AFTER_TROUBLE = timedelta(seconds=5)
GIVE_UP_AFTER = SEARCH_FOR + FOLLOW_FOR
MANUAL_EXPIRES = timedelta(minutes=5)

NOT_MANAGED = (
    "no VirtualMachine resource stands for this VM (it was deleted, or is not accepted); apply one"
)
EXPIRED = "no operator took it up within five minutes; ask again"
CLOCK_WAS_SET_BACK = "the database's clock was set back since; ask again"
NO_LONGER_DOWN = "it is not down any more"

ClientOf = Callable[[int], Awaitable[ProxmoxClient]]
"""Gives the client of a cluster by its id, or raises Unconnected."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """One intent that is being judged under an epoch; `posting` None: nobody can be asked."""

    intent: Intent
    epoch: int
    posting: Posting | None
    judged_at: float = 0.0
    """By the loop's clock."""


class Pipeline:
    """Carries intents out, several at a time, one task each."""

    def __init__(
        self,
        engine: AsyncEngine,
        lead: Lead,
        *,
        eyes: Eyes,
        ears: Ears,
        client_of: ClientOf,
        checkpoint: Checkpoint = nothing,
    ) -> None:
        self._engine = engine
        self._lead = lead
        self._eyes = eyes
        self._client_of = client_of
        self._checkpoint = checkpoint
        self._scenes = SceneReader(engine, ears)
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._granted: dict[int, tuple[int, NodeKey]] = {}

    async def run(self) -> None:
        """Take up whatever is unfinished, for as long as this runs."""
        try:
            while True:
                await self.take_up()
                await asyncio.sleep(LOOK_FOR_WORK_EVERY.total_seconds())
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Leave everything as it is; what is on record is taken up again."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._scenes.stop()

    async def take_up(self) -> None:
        """Begin or go on with every unfinished intent that is not under way here."""
        try:
            epoch = self._lead.epoch
        except NotLeading:
            return
        async with self._engine.connect() as connection:
            found = await execution.unfinished(connection)
        for intent in found:
            if intent.id not in self._under_way:
                self._under_way[intent.id] = asyncio.create_task(self._guarded(intent, epoch))

    async def _guarded(self, intent: Intent, epoch: int) -> None:
        """Carry one out; trouble is logged, and what is on record is taken up again later."""
        try:
            await self._carry_out(intent, epoch)
        except NotLeading:
            log.info("intent_left_to_leader", intent=intent.id)
        except Unconnected as error:
            log.warning("intent_waits", intent=intent.id, why=str(error))
            await self._give_up_on(intent, epoch, str(error))
            await asyncio.sleep(AFTER_TROUBLE.total_seconds())
        except Exception:
            log.exception("intent_interrupted", intent=intent.id)
            await asyncio.sleep(AFTER_TROUBLE.total_seconds())
        finally:
            self._granted.pop(intent.id, None)
            del self._under_way[intent.id]

    async def _carry_out(self, intent: Intent, epoch: int) -> None:
        if intent.phase is not Phase.REQUESTED:
            await (await self._posting(intent, epoch)).go_on()
            return
        await self._checkpoint("intent")
        try:
            posting = await self._posting(intent, epoch)
        except Unconnected:
            # The look will say so, and hold.
            await self._judge_anew(_Turn(intent, epoch, None))
            return
        async with posting.client.place():
            sent = await self._judge_anew(_Turn(intent, epoch, posting))
        if sent is not None:
            await posting.conclude(sent)

    async def _judge_anew(self, turn: _Turn) -> Sent | None:
        """Look, judge, claim and send. All that may have to be waited for is at hand before."""
        intent = turn.intent
        scene, one = await self._read(intent)
        with spans.of_reset(trace_of(intent), "look"):
            finding = None if one is None else await self._look(one, scene)
        # The look takes time: what people said meanwhile counts.
        scene, one = await self._read(intent)
        judged_at = asyncio.get_running_loop().time()
        if one is None or finding is None:
            await self._cancel(turn, CancelReason.NOT_MANAGED, NOT_MANAGED)
        elif (why := _out_of_date(intent, scene.now)) is not None:
            await self._cancel(turn, CancelReason.EXPIRED, why)
        else:
            one = replace(one, unfinished=False)
            return await self._judge(replace(turn, judged_at=judged_at), one, (scene, finding))
        return None

    async def _look(self, one: Candidate, scene: Scene) -> Finding:
        safety = scene.policies[one.config_id].safety
        wanted = Wanted(one.vm_id, one.cluster_id, one.vmid, safety, Lane.RESET)
        return (await self._eyes.look([wanted], scene.now))[one.vm_id]

    async def _read(self, intent: Intent) -> tuple[Scene, Candidate | None]:
        return await self._scenes.read(intent.vm_id, sized=intent.source.is_manual)

    async def _judge(self, turn: _Turn, one: Candidate, seen: tuple[Scene, Finding]) -> Sent | None:
        """Judge again, on fresh facts: what was decided may have been overtaken."""
        (scene, finding), intent = seen, turn.intent
        case = case_of(one, scene, finding, manual=intent.source.is_manual, forced=intent.forced)
        verdict = decide(case, scene.now)
        released = is_released(one, intent, finding)
        if isinstance(verdict, Hold):
            await self._cancel(turn, verdict.reason.value, verdict.message, finding)
        elif not isinstance(verdict, Act) or _heard_since(intent, one) or released:
            heard = _heard_since(intent, one)
            reason = CancelReason.HEARTBEAT if heard else CancelReason.NO_LONGER_DOWN
            await self._cancel(turn, reason, NO_LONGER_DOWN)
        elif scene.policies[one.config_id].dry_run:
            await self._record_dry_run(intent, turn.epoch)
        else:
            assert isinstance(finding, GuestFacts)
            return await self._send(turn, one, (scene, finding), verdict)
        return None

    async def _send(
        self, turn: _Turn, one: Candidate, seen: tuple[Scene, GuestFacts], verdict: Act
    ) -> Sent | None:
        """Send it; a person's reset first queues for a place in flight."""
        (scene, finding), intent = seen, turn.intent
        node = (one.cluster_id, finding.node)
        if turn.posting is None:
            raise Unconnected("its cluster has only just come back")
        if intent.source.is_manual and not _has_place(one, node, scene, self._granted.values()):
            return None
        self._granted[intent.id] = (one.config_id, node)
        tell_waited(intent, scene.now)
        return await turn.posting.begin(verdict.action, finding.node, turn.judged_at)

    async def _give_up_on(self, intent: Intent, epoch: int, why: str) -> None:
        """End an intent that was sent to a cluster which cannot be asked any more."""
        if not intent.steps:
            return
        async with leading(self._engine, epoch) as connection:
            now = await database_now(connection)
            if now - intent.steps[-1].sending_at <= GIVE_UP_AFTER:
                return
            await execution.finish(
                connection, intent.id, phase=Phase.UNKNOWN, error=why, response=None, now=now
            )
        tell_end(intent, Phase.UNKNOWN, now)

    async def _posting(self, intent: Intent, epoch: int) -> Posting:
        async with self._engine.connect() as connection:
            place = await execution.place_of(connection, intent.vm_id)
        client = await self._client_of(place.cluster_id)
        return Posting(self._engine, client, self._lead, epoch, intent, place, self._checkpoint)

    async def _record_dry_run(self, intent: Intent, epoch: int) -> None:
        async with leading(self._engine, epoch) as connection:
            now = await database_now(connection)
            await execution.record_dry_run(connection, intent.id, now)
        tell_end(intent, Phase.DRY_RUN, now)
        log.info("dry_run", intent=intent.id, vm=intent.vm_id)

    async def _cancel(
        self, turn: _Turn, reason: str, message: str, finding: Finding | None = None
    ) -> None:
        """Give it up. What keeps the guest from reporting is noted: the next sweep may miss it."""
        intent = turn.intent
        async with leading(self._engine, turn.epoch) as connection:
            now = await database_now(connection)
            if isinstance(finding, GuestFacts) and not can_report(finding):
                await unable.note(connection, [intent.vm_id], now)
            await execution.cancel(connection, intent.id, reason=reason, message=message, now=now)
        tell_end(intent, Phase.CANCELLED, now, reason=reason)
        log.info("intent_cancelled", intent=intent.id, vm=intent.vm_id, reason=reason, why=message)


def _out_of_date(intent: Intent, now: datetime) -> str | None:
    """Say why an intent is too old to be carried out; None where it is not."""
    if intent.requested_at > now + CLOCK_JUMP:
        return CLOCK_WAS_SET_BACK  # whether the VM was heard since cannot be told
    if intent.source.is_manual and now - intent.requested_at > MANUAL_EXPIRES:
        return EXPIRED
    return None


def _heard_since(intent: Intent, one: Candidate) -> bool:
    """True where an automatic reset was overtaken by a heartbeat. A person asked knowing it."""
    if intent.source.is_manual or one.last_heartbeat is None:
        return False
    return one.last_heartbeat > intent.requested_at


def is_released(one: Candidate, intent: Intent, finding: Finding) -> bool:
    """True where a guest that could not report, as Proxmox said, has only just become free.

    Its clock is about to start again. A person who asks knows of it.
    """
    is_able = isinstance(finding, GuestFacts) and can_report(finding)
    was_unable = one.proxmox_busy or (one.was_unable and is_able)
    return was_unable and not intent.source.is_manual and not one.owes_start


def _has_place(
    one: Candidate, node: NodeKey, scene: Scene, granted: Iterable[tuple[int, NodeKey]]
) -> bool:
    """Say whether a manual reset has a place, beside what is in flight and what is being sent."""
    room, given = scene.room, list(granted)
    taken = room.in_flight.get(one.config_id, 0) + sum(f == one.config_id for f, _ in given)
    on_node = room.in_flight_on_node.get(node, 0) + sum(n == node for _, n in given)
    others = Room(
        in_flight={one.config_id: taken},
        in_flight_on_node={node: on_node},
        sent_last_hour={},
        fleet_sizes=room.fleet_sizes,
    )
    wanting = Wanting(one.vm_id, one.config_id, node, one.reset_attempts, timedelta(0))
    return allot([wanting], others, scene.policies)[one.vm_id] is None
