"""Sends the POSTs of one intent, once each, and follows each to its end.

A POST is claimed in the database before it is sent. One that is claimed and has no answer on record
is never sent again: its task is looked for, and where none is found its outcome is unknown.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.domain.actions import Action, Phase, PowerStep, steps_of
from defib_core.store import execution
from defib_core.store.clock import database_now
from defib_core.store.execution import Claim, Intent, Place, Step
from defib_core.tracing import spans
from defib_operator.leadership import NotLeading, leading
from defib_operator.proxmox import (
    Accepted,
    Finished,
    GuestLook,
    Lane,
    OutcomeUnknown,
    PostOutcome,
    PowerStatus,
    ProxmoxClient,
    ProxmoxError,
    Refused,
    Unknown,
    Upid,
)
from defib_operator.reset_trace import tell_end, trace_of
from defib_operator.sweep import Lead

log = structlog.get_logger(__name__)

POLL_EVERY = timedelta(milliseconds=500)
SEARCH_FOR = timedelta(seconds=45)
"""Longer than a POST may hang in Proxmox."""
FOLLOW_FOR = timedelta(minutes=5)
SEND_WITHIN = timedelta(seconds=10)
"""From the last judgement until the POST leaves; a later one is not sent at all."""
SEARCH_SLACK = timedelta(seconds=10)
"""How far Proxmox's clock may be behind the database's."""
HALTED = frozenset({"prelaunch", "paused"})
"""What a reset leaves of a guest that QEMU had halted: it needs a resume."""

TASK_TYPE = {
    PowerStep.RESET: "qmreset",
    PowerStep.STOP: "qmstop",
    PowerStep.START: "qmstart",
    PowerStep.RESUME: "qmresume",
}

Checkpoint = Callable[[str], Awaitable[None]]
"""Called after each step of the pipeline; tests end the process there."""


async def nothing(_: str) -> None:
    """The checkpoint of production."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one POST ended."""

    phase: Phase
    text: str
    upid: str | None = None
    unsent: bool = False
    """No connection came about: there was no attempt."""

    @property
    def response(self) -> dict[str, str | None]:
        """What goes into the history as Proxmox's response."""
        return {"upid": self.upid, "exitstatus": self.text}


@dataclass(frozen=True, slots=True)
class Sent:
    """A POST that was claimed and sent, and what Proxmox said to it."""

    claim: Claim
    at: datetime
    outcome: PostOutcome


class Instead(Enum):
    """Why a following POST was not sent."""

    NOT_YET = auto()
    NOT_NEEDED = auto()
    NOT_OURS = auto()
    """It was claimed by another, or the intent has ended."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One intent on its way."""

    engine: AsyncEngine
    client: ProxmoxClient
    lead: Lead
    epoch: int
    intent: Intent
    place: Place
    checkpoint: Checkpoint = nothing

    async def begin(self, action: Action, node: str, judged_at: float) -> Sent | None:
        """Send the first POST; None where the claim is refused. The caller holds a place.

        `judged_at` is the moment of the loop's clock from which on the judgement grows old.
        """
        claim = Claim(self.intent.id, 1, steps_of(action)[0], action, node)
        return await self._send(claim, judged_at)

    async def go_on(self) -> None:
        """Take up from what is on record, after a crash or a change of leader."""
        last = self.intent.steps[-1]
        log.info("intent_adopted", intent=self.intent.id, step=last.step, phase=last.phase)
        claim = Claim(self.intent.id, last.seq, last.step, self.intent.action, last.node)
        if last.phase.is_finished:
            await self._next(claim, Ended(last.phase, last.result or "", last.upid))
        else:
            await self._finish_step(claim, await self._learn(claim, last))

    async def _send(self, claim: Claim, judged_at: float) -> Sent | None:
        """Claim and send. Nothing here waits for others, and nothing leaves late."""
        sending_at = await self._claimed(claim)
        if sending_at is None:
            return None
        await self.checkpoint("sending")
        if self.lead.epoch != self.epoch:
            raise NotLeading("the lease changed hands between the claim and the POST")
        not_after = min(self.lead.until, judged_at + SEND_WITHIN.total_seconds())
        with spans.of_reset(trace_of(self.intent), f"post {claim.step.value}"):
            outcome = await self.client.post_power(
                claim.node, self.place.vmid, claim.step, not_after
            )
            spans.note(outcome=type(outcome).__name__)
        await self.checkpoint("sent")
        log.info("posted", intent=self.intent.id, step=claim.step.value, outcome=repr(outcome))
        return Sent(claim, sending_at, outcome)

    async def conclude(self, sent: Sent) -> None:
        """Follow a POST to its end, then send the rest."""
        match sent.outcome:
            case Accepted(upid):
                ended = await self._accepted(sent.claim, upid)
            case Refused(text=text, status=status):
                ended = Ended(Phase.FAILED, text, unsent=status is None and sent.claim.seq == 1)
            case OutcomeUnknown(text=text):
                ended = await self._search(sent.claim, sent.at, text)
        await self._finish_step(sent.claim, ended)

    async def _claimed(self, claim: Claim) -> datetime | None:
        async with leading(self.engine, self.epoch) as connection:
            now = await database_now(connection)
            taken = await execution.claim(connection, claim, epoch=self.epoch, now=now)
        return now if taken else None

    async def _accepted(self, claim: Claim, upid: Upid) -> Ended:
        await self._record(claim.seq, upid)
        return await self._follow(upid)

    async def _record(self, seq: int, upid: Upid) -> None:
        async with leading(self.engine, self.epoch) as connection:
            await execution.record_sent(
                connection, self.intent.id, seq, str(upid), {"upid": str(upid)}
            )

    async def _learn(self, claim: Claim, step: Step) -> Ended:
        """Learn how a POST ended that an earlier process sent, or may have sent."""
        upid = None if step.upid is None else Upid.parse(step.upid)
        if upid is not None:
            return await self._follow(upid)
        text = "the operator ended before it had Proxmox's answer"
        return await self._search(claim, step.sending_at, text)

    async def _search(self, claim: Claim, sending_at: datetime, text: str) -> Ended:
        """Look for the task of a POST whose answer is not known."""
        with spans.of_reset(trace_of(self.intent), "search"):
            found = await self._searched(claim, sending_at)
            spans.note(found=found is not None)
        if found is None:
            return Ended(Phase.UNKNOWN, f"{text}; no task of it was found")
        await self._record(claim.seq, found)
        return await self._follow(found)

    async def _searched(self, claim: Claim, sending_at: datetime) -> Upid | None:
        async with self.engine.connect() as connection:
            known = await execution.known_upids(connection, self.intent.vm_id)
        while True:
            found = await self.client.find_task(
                claim.node, self.place.vmid, TASK_TYPE[claim.step], sending_at - SEARCH_SLACK
            )
            if isinstance(found, Upid) and str(found) not in known:
                return found
            async with self.engine.connect() as connection:
                now = await database_now(connection)
            if not -SEARCH_SLACK <= now - sending_at <= SEARCH_FOR:  # past, or the clock set back
                return None
            await asyncio.sleep(POLL_EVERY.total_seconds())

    async def _follow(self, upid: Upid) -> Ended:
        """Poll a task until it has ended."""
        with spans.of_reset(trace_of(self.intent), "task"):
            ended = await self._followed(upid)
            spans.note(outcome=ended.phase.value)
        return ended

    async def _followed(self, upid: Upid) -> Ended:
        deadline = asyncio.get_running_loop().time() + FOLLOW_FOR.total_seconds()
        while True:
            state = await self.client.task_status(upid)
            if isinstance(state, Finished):
                phase = Phase.SUCCEEDED if state.ok else Phase.FAILED
                return Ended(phase, state.exitstatus, str(upid))
            if asyncio.get_running_loop().time() > deadline:
                why = state.text if isinstance(state, Unknown) else "it is still running"
                return Ended(Phase.UNKNOWN, f"the task did not end in time: {why}", str(upid))
            await asyncio.sleep(POLL_EVERY.total_seconds())

    async def _finish_step(self, claim: Claim, ended: Ended) -> None:
        async with leading(self.engine, self.epoch) as connection:
            await execution.finish_step(
                connection,
                self.intent.id,
                claim.seq,
                phase=ended.phase,
                result=ended.text,
                now=await database_now(connection),
            )
        await self.checkpoint("polled" if claim.step is not PowerStep.STOP else "stopped")
        await self._next(claim, ended)

    async def _next(self, claim: Claim, ended: Ended) -> None:
        """Send the next POST of the action, or end the intent."""
        following = steps_of(claim.action)[claim.seq :]
        if ended.phase is not Phase.SUCCEEDED or not following:
            await self._end(ended)
            return
        sent = await self._send_when_ready(claim, following[0])
        match sent:
            case Sent():
                await self.conclude(sent)
            case Instead.NOT_NEEDED:
                await self._end(ended)
            case Instead.NOT_YET:
                # What is owed stays on record.
                why = f"Proxmox did not get it ready for a {following[0].value} in time"
                await self._end(Ended(Phase.FAILED, why))
            case Instead.NOT_OURS:
                pass

    async def _send_when_ready(self, claim: Claim, step: PowerStep) -> Sent | Instead:
        """Wait until the next POST makes sense, and send it."""
        clock = asyncio.get_running_loop()
        deadline = clock.time() + FOLLOW_FOR.total_seconds()
        while clock.time() < deadline:
            async with self.client.place():
                sent = await self._send_if_ready(claim, step)
            if sent is not Instead.NOT_YET:
                return sent
            await asyncio.sleep(POLL_EVERY.total_seconds())
        return Instead.NOT_YET

    async def _send_if_ready(self, claim: Claim, step: PowerStep) -> Sent | Instead:
        try:
            seen = await self.client.look(claim.node, self.place.vmid, Lane.RESET)
        except ProxmoxError as error:
            log.warning("look_failed", intent=self.intent.id, error=str(error))
            return Instead.NOT_YET
        judged_at = asyncio.get_running_loop().time()
        ready = _ready_for(step, seen)
        if not ready:
            return Instead.NOT_YET if ready is None else Instead.NOT_NEEDED
        following = Claim(self.intent.id, claim.seq + 1, step, claim.action, seen.node)
        return await self._send(following, judged_at) or Instead.NOT_OURS

    async def _end(self, ended: Ended) -> None:
        async with leading(self.engine, self.epoch) as connection:
            now = await database_now(connection)
            await execution.finish(
                connection,
                self.intent.id,
                phase=ended.phase,
                error=None if ended.phase is Phase.SUCCEEDED else ended.text,
                response=ended.response,
                now=now,
                unsent=ended.unsent,
            )
        tell_end(self.intent, ended.phase, now)
        log.info(
            "reset_ended",
            intent=self.intent.id,
            vm=self.intent.vm_id,
            outcome=ended.phase.value,
            text=ended.text,
        )


def _ready_for(step: PowerStep, seen: GuestLook) -> bool | None:
    """Say whether the next POST is due (True), not needed (False), or to be waited for (None)."""
    if step is PowerStep.START:
        return True if seen.power is PowerStatus.STOPPED else None
    if step is PowerStep.RESUME:
        return seen.qmpstatus in HALTED
    return True
