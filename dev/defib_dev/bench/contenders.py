"""Who is measured against whom: a server, the processes behind it, and what became of its load."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from defib_dev.bench.bench import Bench
from defib_dev.bench.load import Aim, ClosedLoop, Load, OpenLoop
from defib_dev.bench.plan import LoadPlan
from defib_dev.bench.tally import Tally
from defib_dev.bench.usage import Meter, Usage

GENERATOR = "generator"
_MICROSECONDS = 1e6


@dataclass(slots=True)
class Loaded:
    """One load: what came of it, and what it cost."""

    tally: Tally
    usage: Usage
    reports: int = 1
    """In each request."""

    @property
    def rate(self) -> float:
        """Reports a second."""
        return self.tally.rate * self.reports

    def cost(self, process: str) -> float:
        """Microseconds of CPU a report."""
        stored = max(self.tally.ok * self.reports, 1)
        return self.usage.by_process[process] * _MICROSECONDS / stored

    @property
    def others_percent(self) -> float:
        """The share of one core that programs of others took meanwhile."""
        return 100 * self.usage.others / self.tally.lasted


@dataclass(slots=True)
class Contender:
    """A server under load, one load after the other."""

    name: str
    title: str
    port: int
    pids: Mapping[str, int]
    requests: Sequence[bytes]
    acknowledged: Counter[int] = field(default_factory=Counter)
    """All answers with status 200 so far, by the request's number."""
    turn: int = 0
    """Where the next load goes on, so that all VMs report alike."""
    reports: int = 1
    """In each request."""
    answer: int | None = None
    """How many bytes an answer has that says that all of them are stored; None: any."""

    def closed(self, bench: Bench, plan: LoadPlan) -> Loaded:
        """Load it as fast as it answers."""
        loop = ClosedLoop(self._aim(plan.wires), warm_up=plan.warm_up, seconds=plan.closed)
        return self._run(bench, loop)

    def opened(self, bench: Bench, plan: LoadPlan, rate: float) -> Loaded:
        """Load it on a schedule."""
        aim = self._aim(plan.wires)
        return self._run(bench, OpenLoop(aim, rate=rate, warm_up=plan.warm_up, seconds=plan.opened))

    def burst(
        self, bench: Bench, *, wires: int, rate: float, seconds: float, drain: float
    ) -> Loaded:
        """Load it for a moment with more than it can take, and wait until all is answered."""
        loop = OpenLoop(self._aim(wires), rate=rate, warm_up=0, seconds=seconds, drain=drain)
        return self._run(bench, loop)

    def _aim(self, wires: int) -> Aim:
        return Aim(self.port, self.requests, wires, self.turn, self.answer)

    def _run(self, bench: Bench, loop: Load) -> Loaded:
        meter = Meter({**self.pids, GENERATOR: os.getpid()})
        tally = bench.run(loop.run())
        loaded = Loaded(tally, meter.used(), self.reports)
        self.acknowledged += tally.acknowledged
        self.turn += tally.ok
        faults = tally.faults()
        bench.fault(None if faults is None else f"{self.title}: {faults}")
        return loaded
