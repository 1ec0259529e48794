"""A VM's last 24 hours: every report, and in means of five minutes; cold, warm and over the API.

Cold is PostgreSQL just started: what the system still has in its file cache is read from there.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from time import perf_counter

from sqlalchemy import text

from defib_api.schemas.identifiers import vm_id_text
from defib_core.store import metrics
from defib_core.store.engine import make_engine
from defib_core.store.metrics import Resolution
from defib_dev.bench import fleet, past, reading, requests
from defib_dev.bench.bench import Bench
from defib_dev.bench.contenders import Contender
from defib_dev.bench.figures import MS, Section, Target, milliseconds, percentile
from defib_dev.bench.reading import Case
from defib_dev.bench.servers import Database, make_keys

DAY = timedelta(hours=24)
KINDS = {Resolution.RAW: "every report", Resolution.FIVE_MINUTES: "5-minute means"}
TARGET = Target(50, 20, higher_is_better=False)
LIVEZ, HOURS = "/livez", {24: "5-minute means", 6: "every report"}
SETUP_SECONDS = 20.0
ROWS_A_SECOND = 130_000
"""Making and rolling up so many takes a second or so; for the estimate only."""
SMALLER = 10
TRIP = text("SELECT 1")


def measure(bench: Bench) -> Section | None:
    """Measure it, on a smaller history where there is no time for the planned one."""
    plan = bench.plan.history
    for vms in (plan.vms, plan.vms // SMALLER):
        rows = vms * (plan.span / plan.interval)
        once = plan.api.warm_up * 2 + plan.api.closed + plan.api.opened
        needed = SETUP_SECONDS + rows / ROWS_A_SECOND + plan.api.repeats * 3 * once
        if vms and bench.fits(needed, f"history of {vms:,} VMs"):
            return _measure(bench, vms)
    return None


def _measure(bench: Bench, vms: int) -> Section:
    database = bench.servers.migrated_database("history")
    try:
        fleet.fill(database.superuser_url, vms)
        bench.say("  making and rolling up the history")
        made = bench.run(past.make(database, bench.plan.history, vms))
        section = Section("history", "History", {"vms": vms, "reports": made.reports})
        section.add("size", "Disk, key index included", "bytes/report", [made.size / made.reports])
        for table, size in made.means.items():
            key = f"size.{table.removeprefix('vm_metric_')}"
            section.add(key, f"Disk of a mean in {table}, key index included", "bytes", [size])
        an_hour = made.rolled_up[1:-1] or made.rolled_up
        section.add("rollup", "Rolling an hour up", "s", an_hour, n=made.reports)
        _queries(bench, database, vms, made.now, section)
        _over_the_api(bench, database, vms, section)
    finally:
        bench.servers.drop(database)
    return section


def _queries(bench: Bench, database: Database, vms: int, now: datetime, section: Section) -> None:
    plan = bench.plan.history
    trips: list[float] = []
    times: dict[tuple[Resolution, str], list[list[float]]] = {}
    ids = [number + 1 for number in requests.shuffled(vms)]
    for number in range(plan.repeats):
        # Others each time: a VM is cold once.
        asked = [ids[(number * plan.asked + k) % vms] for k in range(min(plan.asked, vms))]
        for kind, said in KINDS.items():
            bench.say(f"  24 hours, {said} ({number + 1}/{plan.repeats})")
            bench.servers.restart_postgres()
            trip, cold, warm = bench.run(_ask(database, asked, now, kind))
            trips.append(trip)
            times.setdefault((kind, "cold"), []).append(cold)
            times.setdefault((kind, "warm"), []).append(warm)
    section.add("trip", "A round trip to PostgreSQL", MS, [milliseconds(one) for one in trips])
    for (kind, how), repeats in times.items():
        for percent in (50, 99):
            section.add(
                f"{kind.value}.{how}.p{percent}",
                f"24 h of one VM, {KINDS[kind]}, {how}: p{percent}",
                MS,
                [milliseconds(percentile(sorted(one), percent)) for one in repeats],
                n=sum(len(one) for one in repeats),
                reference="trip",
                target=TARGET if how == "warm" and percent == 99 else None,  # noqa: PLR2004
            )


async def _ask(
    database: Database, vm_ids: Sequence[int], now: datetime, kind: Resolution
) -> tuple[float, list[float], list[float]]:
    """Seconds of a round trip, and of each VM's history: the first time, and again."""
    engine = make_engine(database.url, application="bench")
    try:
        async with engine.connect() as connection:
            await connection.execute(TRIP)
            began = perf_counter()
            await connection.execute(TRIP)
            trip = perf_counter() - began
            rounds: list[list[float]] = []
            for _ in ("cold", "warm"):
                times = []
                for vm_id in vm_ids:
                    began = perf_counter()
                    await metrics.points(connection, vm_id, now=now, span=DAY, by=kind)
                    times.append(perf_counter() - began)
                rounds.append(times)
            return trip, rounds[0], rounds[1]
    finally:
        await engine.dispose()


def _over_the_api(bench: Bench, database: Database, vms: int, section: Section) -> None:
    keys = bench.run(make_keys(database))
    api = bench.servers.api(database)
    plan = bench.plan.history
    try:
        ids = [vm_id_text(number + 1) for number in requests.shuffled(vms)[: plan.asked]]
        paths = {"livez": [LIVEZ]} | {
            f"{hours}h": [f"/api/vms/{one}/metrics?hours={hours}" for one in ids] for hours in HOURS
        }
        for name, several in paths.items():
            title = LIVEZ if name == "livez" else f"GET metrics, {name}"
            bench.say(f"  {title}")
            rendered = [requests.read(path, keys.admin) for path in several]
            contender = Contender("api", title, api.port, {"server": api.record.pid}, rendered)
            case = Case(
                key=f"api.{name}",
                title=title,
                path=several[0],
                reference=None if name == "livez" else "api.livez",
                target=TARGET if name == "24h" else None,
            )
            reading.read(bench, contender, plan.api, case, section)
    finally:
        api.stop()
