"""A soak: reports on schedule for long, with everything that goes on beside them.

The real API, PostgreSQL and Valkey; the operator's housekeeping on its timer; a dashboard that
reads. Shown is what each process and table holds over time. A report that was acknowledged and is
missing, or something that grows without bound, is a fault.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import httpx
import uvloop
from sqlalchemy.exc import SQLAlchemyError

from defib_core.store.engine import make_engine
from defib_dev.bench import fleet, machine, requests, servers, stored
from defib_dev.bench.bench import Say
from defib_dev.bench.figures import MS, Section, Target, milliseconds, percentile
from defib_dev.bench.growth import Bound, growth_of
from defib_dev.bench.load import Aim, OpenLoop
from defib_dev.bench.plan import POSTGRES
from defib_dev.bench.results import Results
from defib_dev.bench.samples import Samples
from defib_dev.bench.servers import Database, Keys, Served, Servers
from defib_dev.bench.tally import Tally
from defib_dev.components.ports import LOOPBACK
from defib_operator.housekeeping import EVERY, Housekeeping

INTERVAL = 30.0
"""Seconds between two reports of a VM."""
SAMPLES = 60
READ_SECONDS = 5.0
READS = ("/api/status", "/api/vms?limit=100", "/api/fleet")
HISTORY = frozenset({"vm_metric", "vm_metric_5m", "vm_metric_1h"})
"""Tables that grow with every report, until what is old is dropped."""
MEMORY = Bound(share=0.10, least=16.0)
TABLE = Bound(share=0.20, least=8.0)
JUDGED_MINUTES = 1.0
"""What is shorter is still warming up."""
NONE = Target(0, 0, higher_is_better=False)


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """How long, and how many reports a second."""

    minutes: float
    rate: float
    wires: int = 256

    @property
    def vms(self) -> int:
        """So many VMs report so often."""
        return max(1, round(self.rate * INTERVAL))

    @property
    def seconds(self) -> float:
        """How long, in seconds."""
        return self.minutes * 60


@dataclass(frozen=True, slots=True)
class _Leads:
    """The only one there is leads."""

    leads: bool = True


def run(plan: SoakPlan, checkout: Path, say: Say) -> Results:
    """Soak, and say what came of it."""
    began, started, before = monotonic(), machine.now_text(), machine.disturbance()
    say(f"{plan.rate:,.0f}/s of {plan.vms:,} VMs for {plan.minutes:g} minutes")
    with servers.running(POSTGRES) as running:
        described = machine.describe(running.folder, checkout) | before | dict(running.versions())
        soaked = _soak(running, plan)
    section, faults = _section(plan, soaked)
    for fault in faults:
        say(f"FAULT: {fault}")
    seconds = round(monotonic() - began, 1)
    return Results("soak", started, seconds, described, [section], faults, [])


@dataclass(frozen=True, slots=True)
class _Soaked:
    """What was seen."""

    tally: Tally
    samples: Samples
    missing: int
    problems: list[str]


def _soak(running: Servers, plan: SoakPlan) -> _Soaked:
    database = running.migrated_database("soak")
    fleet.fill(database.superuser_url, plan.vms)
    keys = uvloop.run(servers.make_keys(database))
    api = running.api(database)
    pids = {
        "API": api.record.pid,
        "PostgreSQL": running.postgres_record.pid,
        "Valkey": running.valkey_record.pid,
    }
    tally, samples, problems = uvloop.run(_together(plan, database, api, keys, pids))
    numbers = requests.shuffled(plan.vms)
    acknowledged: Counter[str] = Counter()
    for index, count in tally.acknowledged.items():
        acknowledged[fleet.vmid_of(numbers[index])] += count
    return _Soaked(tally, samples, stored.missing(database.url, acknowledged), problems)


async def _together(
    plan: SoakPlan, database: Database, api: Served, keys: Keys, pids: Mapping[str, int]
) -> tuple[Tally, Samples, list[str]]:
    samples, problems = Samples(), list[str]()
    reports = [requests.report(number, keys.agent) for number in requests.shuffled(plan.vms)]
    loop = OpenLoop(
        Aim(api.port, reports, plan.wires), rate=plan.rate, warm_up=0, seconds=plan.seconds
    )
    beside = [
        asyncio.create_task(work)
        for work in (
            samples.gather(pids, database.url, plan.seconds / SAMPLES),
            _keep_house(database, problems),
            _read(api, keys, problems),
        )
    ]
    try:
        tally = await loop.run()
    finally:
        for task in beside:
            task.cancel()
        ended = await asyncio.gather(*beside, return_exceptions=True)
    problems += [repr(one) for one in ended if isinstance(one, Exception)]
    return tally, samples, problems


async def _keep_house(database: Database, problems: list[str]) -> None:
    """Do what the operator's leader does for the history, as often."""
    engine = make_engine(database.url, application="bench")
    try:
        house = Housekeeping(engine, _Leads())
        while True:
            try:
                await house.keep_house()
            except SQLAlchemyError as error:
                problems.append(f"housekeeping: {error}")
            await asyncio.sleep(EVERY.total_seconds())
    finally:
        await engine.dispose()


async def _read(api: Served, keys: Keys, problems: list[str]) -> None:
    """Look at the fleet as a dashboard does."""
    headers = {"Authorization": f"Bearer {keys.admin}"}
    where = f"http://{LOOPBACK}:{api.port}"
    async with httpx.AsyncClient(base_url=where, headers=headers, trust_env=False) as client:
        while True:
            for path in READS:
                with suppress(httpx.TimeoutException):
                    answer = await client.get(path)
                    if answer.is_error:
                        problems.append(f"{path} was answered {answer.status_code}")
            await asyncio.sleep(READ_SECONDS)


def _section(plan: SoakPlan, soaked: _Soaked) -> tuple[Section, list[str]]:
    tally, samples = soaked.tally, soaked.samples
    conditions: dict[str, str | int | float] = {
        "vms": plan.vms,
        "reports a second": plan.rate,
        "minutes": plan.minutes,
    }
    section = Section("soak", "Soak", conditions)
    faults = list(soaked.problems)
    faults += [text for text in (tally.faults(),) if text is not None]
    section.add("reports", "reports acknowledged", "reports", [tally.ok], n=tally.ok)
    what = "acknowledged reports missing"
    section.add("missing", what, "reports", [soaked.missing], n=tally.ok, target=NONE)
    faults += [f"{what}: {soaked.missing}"] if soaked.missing else []
    for percent in (50, 99):
        latency = milliseconds(tally.latency(percent))
        section.add(f"p{percent}", f"p{percent} from when it was due", MS, [latency], n=tally.ok)
    windows = [milliseconds(percentile(sorted(one), 99)) for one in _windows(tally.latencies)]
    what = f"... p99 of each of {len(windows)} parts of the time"
    section.add("p99.parts", what, MS, windows, n=tally.ok, reference="p99")
    for name, values in samples.memory.items():
        faults += _add(section, plan, f"memory of {name}", values, MEMORY)
    for name, values in sorted(samples.tables.items()):
        if name in HISTORY or max(values) >= 1:
            bound = None if name in HISTORY else TABLE
            faults += _add(section, plan, f"table {name}", values, bound)
    return section, faults


def _windows(latencies: Sequence[float]) -> list[Sequence[float]]:
    """Cut them, as they came, into as many parts as samples are taken."""
    width = max(1, len(latencies) // SAMPLES)
    return [latencies[start : start + width] for start in range(0, len(latencies), width)][:SAMPLES]


def _add(
    section: Section, plan: SoakPlan, what: str, values: list[float], bound: Bound | None
) -> list[str]:
    """Show how much it was over time, and how fast it grew; return what is wrong with that."""
    key = what.replace(" ", "_")
    section.add(key, what, "MiB", values)
    growth = growth_of(values)
    if growth is None:
        return []
    an_hour = growth.slope * SAMPLES / plan.seconds * 3600
    grows = "... grows, by its slope after the first fifth"
    section.add(f"{key}.slope", grows, "MiB/h", [an_hour], n=len(values), reference=key)
    if bound is None or plan.minutes < JUDGED_MINUTES or not growth.exceeds(bound):
        return []
    return [f"{what} grew from {growth.before:.1f} to {growth.after:.1f} MiB"]
