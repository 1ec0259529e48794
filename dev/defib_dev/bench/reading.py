"""The dashboard's reads, with Redis and without: how many a second, and how long each takes.

Read as the dashboard does, through the API. The reference is `/livez` of the same process: what an
answer costs that reads nothing.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx

from defib_dev.bench import fleet, requests
from defib_dev.bench.bench import Bench
from defib_dev.bench.contenders import Contender
from defib_dev.bench.figures import MS, Section, Target, milliseconds
from defib_dev.bench.plan import LoadPlan
from defib_dev.bench.servers import Keys, Served, make_keys
from defib_dev.components.ports import LOOPBACK

READS_PER_SECOND = "reads/s"
PATHS = {"livez": "/livez", "status": "/api/status", "vms": "/api/vms"}
REFERENCE = "livez"
TARGET = Target(20, 5, higher_is_better=False)
TARGET_VMS = 10_000
SETUP_SECONDS = 12.0
SHARE_OF_MOST = 0.5
KIB = 1024


@dataclass(frozen=True, slots=True)
class Case:
    """What is read, how often, and under which key and name the figures go."""

    key: str
    title: str
    path: str
    reference: str | None
    target: Target | None


def measure(bench: Bench) -> Section | None:
    """Measure each size there is time for; None where there was for none."""
    plan = bench.plan.reads
    section = Section("reads", "Reads", {"connections": plan.load.wires})
    for vms in plan.sizes:
        if bench.fits(_needed(plan.load), f"reads of {vms:,} VMs"):
            _measure_size(bench, vms, section)
    return section if section.figures else None


def read(bench: Bench, contender: Contender, plan: LoadPlan, case: Case, section: Section) -> None:
    """Measure one address: the most first, then at a pace that it can keep."""
    most = [contender.closed(bench, plan).tally for _ in range(plan.repeats)]
    rates = [max(one.rate, 1.0) for one in most]
    pace = max(1.0, min(bench.plan.reads.rate, min(rates) * SHARE_OF_MOST))
    paced = [contender.opened(bench, plan, pace).tally for _ in range(plan.repeats)]
    section.add(
        f"{case.key}.rate",
        f"{case.title}: at most",
        READS_PER_SECOND,
        [one.rate for one in most],
        n=sum(one.in_window for one in most),
        reference=None if case.reference is None else f"{case.reference}.rate",
    )
    for percent in (50, 99):
        section.add(
            f"{case.key}.p{percent}",
            f"{case.title}: p{percent} at {pace:,.0f}/s",
            MS,
            [milliseconds(one.latency(percent)) for one in paced],
            n=sum(len(one.latencies) for one in paced),
            reference=None if case.reference is None else f"{case.reference}.p{percent}",
            target=case.target if percent == 99 else None,  # noqa: PLR2004 - the percentile
        )


def _measure_size(bench: Bench, vms: int, section: Section) -> None:
    with _serving(bench, vms) as (apis, keys):
        size = _size(apis["with Redis"], PATHS["vms"], keys) / KIB
        section.add(f"{vms}.size", f"One answer of /api/vms, {vms:,} VMs", "KiB", [size])
        for how, api in apis.items():
            for name, path in PATHS.items():
                title = f"{path}, {vms:,} VMs, {how}"
                bench.say(f"  {title}")
                case = Case(
                    key=f"{vms}.{_key(how)}.{name}",
                    title=title,
                    path=path,
                    reference=None if name == REFERENCE else f"{vms}.{_key(how)}.{REFERENCE}",
                    target=TARGET if vms == TARGET_VMS and name != REFERENCE else None,
                )
                read(
                    bench, _contender(api, title, path, keys), bench.plan.reads.load, case, section
                )


@contextmanager
def _serving(bench: Bench, vms: int) -> Iterator[tuple[dict[str, Served], Keys]]:
    """The API on a fleet of this size, once with Redis and once without."""
    servers = bench.servers
    with ExitStack() as stack:
        database = servers.migrated_database(f"reads_{vms}")
        stack.callback(servers.drop, database)
        fleet.fill(database.superuser_url, vms)
        keys = bench.run(make_keys(database))
        apis = {
            "with Redis": servers.api(database),
            "without Redis": servers.api(database, with_redis=False),
        }
        for api in apis.values():
            stack.callback(api.stop)
        yield apis, keys


def _key(how: str) -> str:
    return how.replace(" ", "_")


def _contender(api: Served, title: str, path: str, keys: Keys) -> Contender:
    request = requests.read(path, keys.admin)
    return Contender("api", title, api.port, {"server": api.record.pid}, [request])


def _size(api: Served, path: str, keys: Keys) -> int:
    """Bytes of one answer."""
    url = f"http://{LOOPBACK}:{api.port}{path}"
    headers = {"Authorization": f"Bearer {keys.admin}"}
    with httpx.Client(trust_env=False, timeout=30) as client:
        return len(client.get(url, headers=headers).raise_for_status().content)


def _needed(load: LoadPlan) -> float:
    once = load.repeats * (load.warm_up * 2 + load.closed + load.opened)
    return SETUP_SECONDS + 2 * len(PATHS) * once
