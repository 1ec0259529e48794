"""Reports: how many a second are stored, how long each waits, what it costs; and is each there.

Three servers take the same bytes in the same run: a bare uvicorn, the naive application, and Defib.
"""

from defib_dev.bench import arena, batches, saturation, schedule, storing
from defib_dev.bench.arena import DEFIB, NAIVE, TITLES, Arena
from defib_dev.bench.bench import Bench
from defib_dev.bench.figures import Section, Target
from defib_dev.bench.stored import missing

NONE = Target(0, 0, higher_is_better=False)
SETUP_SECONDS = 20.0


def measure(bench: Bench) -> Section | None:
    """Measure all of it; None where there is no time."""
    plan = bench.plan.ingest
    a_round = plan.load.warm_up * 2 + plan.load.closed + plan.load.opened
    needed = SETUP_SECONDS + plan.load.repeats * 3 * a_round
    if not bench.fits(needed, f"reports of {plan.vms:,} VMs"):
        return None
    section = Section("ingest", "Reports", {"vms": plan.vms, "connections": plan.load.wires})
    with arena.opened(bench, plan.vms) as opened:
        most = saturation.measure(bench, opened, section)
        schedule.measure(bench, opened, most, section)
        schedule.burst(bench, opened, section)
        batches.measure(bench, opened, section)
        for name in (NAIVE, DEFIB):
            _is_all_there(bench, opened, name, section)
        _without_http(bench, opened, section)
    return section


def _is_all_there(bench: Bench, opened: Arena, name: str, section: Section) -> None:
    """Count what was acknowledged in all loads against what is stored, VM by VM."""
    acknowledged = opened.acknowledged(name)
    gone = missing(opened.databases[name].url, acknowledged)
    what = f"{TITLES[name]}: acknowledged reports missing"
    bench.fault(f"{what}: {gone}" if gone else None)
    target = NONE if name == DEFIB else None
    section.add(f"{name}.missing", what, "reports", [gone], n=acknowledged.total(), target=target)


def _without_http(bench: Bench, opened: Arena, section: Section) -> None:
    """What PostgreSQL alone takes: last, as its rows were never acknowledged to anybody."""
    plan = bench.plan.ingest
    repeats = range(plan.load.repeats)
    if not bench.fits(len(repeats) * plan.statement_seconds * 3, "rows without HTTP"):
        return
    url = opened.databases[DEFIB].url
    copied = [storing.copy_rate(url, plan.copied_rows) for _ in repeats]
    section.add("copy.rate", "COPY of the history alone", "rows/s", copied, n=plan.copied_rows)
    stored = [
        bench.run(storing.statement_rate(url, plan.vms, plan.statement_seconds)) for _ in repeats
    ]
    section.add(
        "statement.rate",
        "Defib's statement, batches of 1,000",
        "rows/s",
        [rate for rate, _ in stored],
        n=sum(rows for _, rows in stored),
        reference="copy.rate",
    )
