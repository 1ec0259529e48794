"""Load on an HTTP server over many connections: as fast as it answers, or on a schedule.

The closed loop finds the most a server can do. The open loop sends at fixed times whatever comes
back, and measures from the time a request was due: one that waits for a free connection, or for us,
waits all the same (no coordinated omission).
"""

import asyncio
import gc
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter

from defib_dev.bench.figures import BenchError
from defib_dev.bench.tally import Tally
from defib_dev.bench.wire import IDLE, Wire
from defib_dev.components.ports import LOOPBACK

OK = 200
TICK_SECONDS = 0.001
DRAIN_SECONDS = 10.0
CONNECT_SECONDS = 10.0
CONNECT_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Aim:
    """What is loaded with what: requests are sent in turn, beginning with number `first`."""

    port: int
    requests: Sequence[bytes]
    wires: int
    first: int = 0
    answer: int | None = None
    """How many bytes an answer has that says that all went well; None: any with status 200."""


class Load(ABC):
    """What both loops share: connections, turns, the count of answers."""

    def __init__(self, aim: Aim) -> None:
        self._aim = aim
        self._turn = aim.first % len(aim.requests)
        self._wires: set[Wire] = set()
        self._in_flight = 0
        self._done = asyncio.Event()
        self._gone = asyncio.Event()
        self._closing = False
        self._reconnecting: set[asyncio.Task[None]] = set()
        self.tally = Tally()

    async def run(self) -> Tally:
        """Connect, load, wait for what is under way, hang up."""
        await self._connect_all()
        gc.collect()
        gc.disable()
        try:
            began = perf_counter()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._begin(began)):
                    await self._done.wait()
            ended = perf_counter()
            self.tally.lasted = ended - began
            self._settle(ended)
        finally:
            gc.enable()
            await self._hang_up()
        return self.tally

    @abstractmethod
    def _begin(self, now: float) -> float:
        """Send the first requests; return after how many seconds to wait no longer."""

    @abstractmethod
    def _next(self, wire: Wire, now: float) -> None:
        """Go on with a connection that has nothing under way."""

    @abstractmethod
    def _record(self, wire: Wire, now: float) -> None:
        """Count an answer with status 200, if it is not of the warm-up."""

    @abstractmethod
    def _settle(self, now: float) -> None:
        """Count what was not answered."""

    def answered(self, wire: Wire, status: int) -> None:
        """Count an answer, and go on."""
        now = perf_counter()
        if status == OK and self._aim.answer not in {None, wire.length}:
            self.tally.partial += 1
        elif status == OK:
            self.tally.acknowledged[wire.index] += 1
            self._record(wire, now)
        else:
            self.tally.other[status] += 1
        wire.index = IDLE
        self._in_flight -= 1
        self._next(wire, now)

    def lost(self, wire: Wire) -> None:
        """Count a lost request, and connect anew."""
        self._wires.discard(wire)
        if self._closing:
            if not self._wires:
                self._gone.set()
            return
        if wire.index != IDLE:
            self.tally.lost += 1
            self._in_flight -= 1
        task = asyncio.get_running_loop().create_task(self._replace())
        self._reconnecting.add(task)
        task.add_done_callback(self._reconnecting.discard)

    def _start(self, wire: Wire, intended: float) -> None:
        requests = self._aim.requests
        index = self._turn
        self._turn = index + 1 if index + 1 < len(requests) else 0
        wire.index = index
        wire.intended = intended
        self._in_flight += 1
        wire.send(requests[index])

    async def _connect(self) -> Wire:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            _, wire = await loop.create_connection(lambda: Wire(self), LOOPBACK, self._aim.port)
        self._wires.add(wire)
        return wire

    async def _connect_all(self) -> None:
        wanted = self._aim.wires
        try:
            for begin in range(0, wanted, CONNECT_AT_ONCE):
                some = min(CONNECT_AT_ONCE, wanted - begin)
                await asyncio.gather(*(self._connect() for _ in range(some)))
        except (OSError, TimeoutError) as error:
            raise BenchError(
                f"the server on port {self._aim.port} takes no connections: {error!r}"
            ) from error

    async def _replace(self) -> None:
        """Connect anew; where that fails the load goes on with a connection less."""
        with suppress(OSError, TimeoutError):
            self._next(await self._connect(), perf_counter())

    async def _hang_up(self) -> None:
        self._closing = True
        for task in tuple(self._reconnecting):
            task.cancel()
        for wire in tuple(self._wires):
            wire.close()
        if self._wires:
            with suppress(TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._gone.wait()


class ClosedLoop(Load):
    """Each connection sends its next request when it has the answer to the last."""

    def __init__(self, aim: Aim, *, warm_up: float, seconds: float) -> None:
        """Both times in seconds; what is answered in the first is not counted."""
        super().__init__(aim)
        self._warm_up = warm_up
        self._seconds = seconds
        self._from = self._until = 0.0

    def _begin(self, now: float) -> float:
        self._from = now + self._warm_up
        self._until = self._from + self._seconds
        self.tally.window = self._seconds
        for wire in tuple(self._wires):
            self._next(wire, now)
        return self._warm_up + self._seconds + DRAIN_SECONDS

    def _next(self, wire: Wire, now: float) -> None:
        if now < self._until:
            self._start(wire, now)
        elif self._in_flight == 0:
            self._done.set()

    def _record(self, wire: Wire, now: float) -> None:
        if self._from <= now < self._until:
            self.tally.in_window += 1
            self.tally.latencies.append(now - wire.intended)

    def _settle(self, now: float) -> None:
        waiting = [wire.intended for wire in self._wires if wire.index != IDLE]
        self.tally.unanswered = len(waiting)
        self.tally.latencies.extend(now - intended for intended in waiting)


class OpenLoop(Load):
    """Request k is due at k/rate, whatever became of those before it."""

    def __init__(
        self,
        aim: Aim,
        *,
        rate: float,
        warm_up: float,
        seconds: float,
        drain: float = DRAIN_SECONDS,
    ) -> None:
        """Requests a second; three times in seconds, the last to wait after the last request."""
        super().__init__(aim)
        self._rate = rate
        self._uncounted = round(rate * warm_up)
        self._total = self._uncounted + max(round(rate * seconds), 1)
        self._drain = drain
        self._free: deque[Wire] = deque()
        self._sent = 0
        self._start_at = 0.0

    def _begin(self, now: float) -> float:
        self._start_at = now
        self._free.extend(self._wires)
        self.tally.window = (self._total - self._uncounted) / self._rate
        self._pace()
        return self._total / self._rate + self._drain

    def _pace(self) -> None:
        """Send all that is due and finds a free connection; look again in a moment."""
        now = perf_counter()
        while self._free and self._is_due(now):
            # The one that was free longest, so that none idles until the server hangs up.
            wire = self._free.popleft()
            if wire in self._wires:
                self._send_next(wire, now)
        if self._sent < self._total and not self._closing:
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._pace)

    def _due(self, number: int) -> float:
        return self._start_at + number / self._rate

    def _is_due(self, now: float) -> bool:
        return self._sent < self._total and self._due(self._sent) <= now

    def _send_next(self, wire: Wire, now: float) -> None:
        intended = self._due(self._sent)
        if self._sent >= self._uncounted:
            self.tally.lateness.append(now - intended)
        self._sent += 1
        self._start(wire, intended)

    def _next(self, wire: Wire, now: float) -> None:
        if self._is_due(now):
            self._send_next(wire, now)
            return
        self._free.append(wire)
        if self._sent == self._total and self._in_flight == 0:
            self._done.set()

    def _record(self, wire: Wire, now: float) -> None:
        if wire.intended >= self._due(self._uncounted):
            self.tally.in_window += 1
            self.tally.latencies.append(now - wire.intended)

    def _settle(self, now: float) -> None:
        waiting = [wire.intended for wire in self._wires if wire.index != IDLE]
        waiting += [self._due(number) for number in range(self._sent, self._total)]
        self.tally.unanswered = len(waiting)
        self.tally.latencies.extend(now - intended for intended in waiting)
