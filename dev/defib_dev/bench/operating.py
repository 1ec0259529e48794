"""The operator with many VirtualMachines: start, memory, and a mass outage told to Kubernetes.

The real operator and control plane on PostgreSQL. Proxmox is left out: no ProxmoxCluster is
applied, so that what is down is held. That the statuses of objects say so is what is measured.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter, sleep

from defib_dev.bench import objects, watched
from defib_dev.bench.bench import Bench
from defib_dev.bench.figures import Section, Target
from defib_dev.bench.objects import Objects
from defib_dev.bench.plan import OperatorPlan
from defib_dev.bench.servers import NAMESPACE, Database, Served
from defib_dev.bench.watched import Proof

FIRST, AGAIN = "first start", "start again"
MIB, PER_SECOND = "MiB", "objects/s"
BIG = 100_000
START, MEMORY = Target(240, 120, higher_is_better=False), Target(1500, 800, higher_is_better=False)
SETUP_SECONDS = 30.0
MILLISECONDS_AN_OBJECT = 5.5
"""All of it together takes about so long; for the estimate only."""


def measure(bench: Bench) -> Section | None:
    """Measure each size there is time for; None where there was for none."""
    section = Section("operator", "Operator", {})
    for vms in bench.plan.operator.sizes:
        seconds = SETUP_SECONDS + vms * MILLISECONDS_AN_OBJECT / 1000
        if bench.fits(seconds, f"operator with {vms:,} objects"):
            with _opened(bench, vms) as case:
                case.measure(section)
    return section if section.figures else None


@contextmanager
def _opened(bench: Bench, vms: int) -> Iterator["_Case"]:
    folder = bench.servers.folder / f"kubernetes-{vms}"
    database = bench.servers.migrated_database(f"operator_{vms}")
    try:
        with objects.running(folder, NAMESPACE) as found, Proof(database.superuser_url):
            yield _Case(bench, bench.plan.operator, database, found, vms)
    finally:
        bench.servers.drop(database)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Started:
    """A process from its start until it knew every object, and then had nothing to do."""

    operator: Served
    seconds: float
    peak: float
    """MiB: of the first start until it knew them, else up to where it was idle."""
    steady: float


@dataclass(frozen=True, slots=True)
class _Case:
    """One size."""

    bench: Bench
    plan: OperatorPlan
    database: Database
    objects: Objects
    vms: int

    def measure(self, section: Section) -> None:
        """Create, start, tell everything once, start again, let a crowd fall silent."""
        rate = self.bench.run(objects.create(self.objects, range(self.vms)))
        self._add(section, "created", "objects created by the bench, first of all", [rate])
        first = self._start(FIRST)
        self._add_start(section, "first", "first start, until all are mirrored", first)
        self._first_statuses(section)
        first.operator.stop()
        again = self._start(AGAIN)
        self._add_start(section, "again", "start where all is mirrored already", again)
        memory = MEMORY if self.vms == BIG else None
        self._add(
            section, "steady", "memory with nothing to do", [again.steady], unit=MIB, target=memory
        )
        server = watched.memory(self.objects.apiserver.pid)
        self._add(section, "apiserver", "memory of kube-apiserver beside it", [server], unit=MIB)
        self._outage(section, again.operator)
        again.operator.stop()

    def _start(self, said: str) -> _Started:
        self.bench.say(f"  {said}")
        began = perf_counter()
        operator = self.bench.servers.operator(self.database, self.objects.kubeconfig)
        watched.until_listed(operator.record, self.vms, self.plan.patience)
        seconds = perf_counter() - began
        if said == FIRST:
            return _Started(operator, seconds, watched.peak(operator.record.pid), 0)
        return self._rest(operator, seconds)

    def _rest(self, operator: Served, seconds: float) -> _Started:
        """Wait until it has nothing to do: kopf hears of each object too, and that takes longer."""
        watched.until_idle(operator.record, self.plan.rest)
        pid = operator.record.pid
        return _Started(operator, seconds, watched.peak(pid), watched.memory(pid))

    def _first_statuses(self, section: Section) -> None:
        """How fast statuses are written that nobody has written before; for a while only."""
        self.bench.say("  first statuses")
        began, before = perf_counter(), watched.told(self.database.url)
        while perf_counter() - began < self.plan.statuses_seconds:
            if watched.told(self.database.url) >= self.vms:
                break
            sleep(watched.LOOK_SECONDS)
        rate = (watched.told(self.database.url) - before) / (perf_counter() - began)
        if rate:
            self._add(section, "statuses", "first statuses written", [rate])
        watched.forget_queue(self.database.superuser_url)

    def _outage(self, section: Section, operator: Served) -> None:
        silent = min(self.vms, self.plan.silent)
        self.bench.say(f"  {silent:,} VMs fall silent")
        watched.all_healthy(self.database.superuser_url)
        watched.silence(self.database.superuser_url, silent)
        down, told = watched.outage(self.database.url, operator.record, silent, self.plan.patience)
        what = f"{silent:,} VMs fall silent at once"
        self._add(section, "down", f"{what}: all are down after", [down], unit="s")
        self._add(section, "told", "... and every status says so, later by", [told], unit="s")
        written = silent / max(told, watched.LOOK_SECONDS)
        most = self.bench.run(objects.patch_statuses(self.objects, self._some(silent)))
        self._add(section, "patches", "statuses written by a client that does nothing else", [most])
        section.add(
            f"{self.vms}.rate",
            f"{self.vms:,} objects: ... written a second",
            PER_SECOND,
            [written],
            n=silent,
            reference=f"{self.vms}.patches",
        )

    def _some(self, most: int) -> Sequence[int]:
        return range(min(most, self.plan.patched))

    def _add_start(self, section: Section, key: str, what: str, started: _Started) -> None:
        target = START if self.vms == BIG else None
        self._add(section, key, what, [started.seconds], unit="s", target=target)
        memory = MEMORY if self.vms == BIG else None
        said = "... memory at most"
        self._add(section, f"{key}.peak", said, [started.peak], unit=MIB, target=memory)

    def _add(
        self,
        section: Section,
        key: str,
        what: str,
        values: list[float],
        *,
        unit: str = PER_SECOND,
        target: Target | None = None,
    ) -> None:
        title = f"{self.vms:,} objects: {what}"
        section.add(f"{self.vms}.{key}", title, unit, values, n=self.vms, target=target)
