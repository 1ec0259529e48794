"""Brings the figures of the fleet to the metrics, for as long as this replica leads.

Reads only. Counters count what is written down anywhere, by whomever, from when this replica began
to lead; what happened between two leaders is in nobody's counter, and in the database.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from defib_core.store import figures, tallies
from defib_core.store.tallies import Ending, Flip
from defib_core.tracing import spans
from defib_core.tracing.spans import ResetTrace
from defib_operator.leadership import Leadership
from defib_operator.metrics import Metrics

EVERY = timedelta(seconds=15)
LOOK_BACK = timedelta(seconds=60)
"""Longer than any transaction of ours lasts."""


@dataclass(slots=True)
class _Seen:
    """Ids that were counted, above one that nothing comes below any more."""

    above: int
    clock: float
    ids: set[int] = field(default_factory=set)
    earlier: set[int] = field(default_factory=set)
    """Counted before the last turn; at the next they are behind us."""

    def note(self, ids: Collection[int]) -> None:
        """Remember these as counted."""
        self.ids.update(ids)

    def known(self) -> Collection[int]:
        """Say which of those above are counted."""
        return self.ids | self.earlier

    def turn(self, clock: float) -> None:
        """Forget what is older than the look back."""
        if clock - self.clock < LOOK_BACK.total_seconds():
            return
        self.above = max([self.above, *self.earlier])
        self.earlier, self.ids, self.clock = self.ids, set(), clock


@dataclass(slots=True)
class _Followed:
    """An intent of which something is still to come, and what of it is counted."""

    ended: bool = False
    recovered: bool = False


@dataclass(slots=True)
class _Tally:
    """What is followed while this replica leads."""

    flips: _Seen
    intents: _Seen
    followed: dict[int, _Followed]


class Figuring:
    """The loop."""

    def __init__(
        self, engine: AsyncEngine, leadership: Leadership, metrics: Metrics, *, per_vm: bool = False
    ) -> None:
        self._engine = engine
        self._leadership = leadership
        self._metrics = metrics
        self._per_vm = per_vm
        self._tally: _Tally | None = None

    async def run(self) -> None:
        """Read again and again; what cannot be read is not shown."""
        try:
            while True:
                await self.once()
                await asyncio.sleep(EVERY.total_seconds())
        finally:
            self._forget()

    async def once(self) -> None:
        """Read once."""
        if not self._leadership.leads:
            self._forget()
            return
        async with self._engine.connect() as connection:
            found = await figures.figures(connection)
            vms = await figures.each_vm(connection) if self._per_vm else ()
            await self._count(connection)
        self._metrics.fleet.show(found, vms)
        self._metrics.leads.set(self._leadership.leads)

    def _forget(self) -> None:
        self._metrics.leads.set(0)
        self._metrics.fleet.hide()
        self._tally = None

    async def _count(self, connection: AsyncConnection) -> None:
        clock = asyncio.get_running_loop().time()
        if self._tally is None:
            self._tally = await _begin(connection, clock)
            return
        tally = self._tally
        tally.flips.turn(clock)
        tally.intents.turn(clock)
        flips = await tallies.flips(connection, tally.flips.above, tally.flips.known())
        for flip in flips:
            self._count_flip(flip)
        tally.flips.note([flip.id for flip in flips])
        for ending in await tallies.endings(connection, tally.intents.above, tally.followed):
            self._count_ending(tally, ending)

    def _count_flip(self, flip: Flip) -> None:
        self._metrics.transitions.labels(flip.from_state, flip.to_state, flip.reason).inc()

    def _count_ending(self, tally: _Tally, ending: Ending) -> None:
        """Count the end of an intent once, and the recovery after it once."""
        if ending.id not in tally.followed and ending.id in tally.intents.known():
            return
        tally.intents.note([ending.id])
        counted = tally.followed.setdefault(ending.id, _Followed())
        if ending.finished and not counted.ended:
            counted.ended = True
            self._metrics.resets.labels(ending.source, ending.action, ending.phase).inc()
        if ending.recovered_in is not None and not counted.recovered:
            counted.recovered = True
            self._metrics.recoveries.observe(ending.recovered_in)
            _tell_recovery(ending)
        may_come_back = ending.phase in {"succeeded", "unknown"} and not counted.recovered
        if counted.ended and not may_come_back:
            del tally.followed[ending.id]


def _tell_recovery(ending: Ending) -> None:
    """Tell the trace of a reset that a heartbeat has proved it."""
    if ending.sent_at is not None and ending.recovered_at is not None:
        lasted = (ending.sent_at, ending.recovered_at)
        spans.told(ResetTrace(ending.id, ending.requested_at), "verified", lasted)


async def _begin(connection: AsyncConnection, clock: float) -> _Tally:
    """Take up what is under way; what is over was another's to count."""
    flips, intents = await tallies.newest(connection)
    followed = {
        one.id: _Followed(one.finished, one.recovered_in is not None)
        for one in await tallies.endings(
            connection, intents, await tallies.open_intents(connection)
        )
    }
    return _Tally(_Seen(flips, clock), _Seen(intents, clock), followed)
