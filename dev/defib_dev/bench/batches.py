"""Reports by batches, as relays send them: how many a second are stored, and what each costs.

The same API and database as of single reports, right after them, so that the two are comparable.
"""

from dataclasses import replace

from defib_dev.bench.arena import POSTGRES, SERVER, Arena
from defib_dev.bench.bench import Bench
from defib_dev.bench.contenders import GENERATOR
from defib_dev.bench.figures import MICROSECONDS, MS, PER_SECOND, Section, Target, milliseconds

TARGET = Target(15_000, 33_000, higher_is_better=True)
"""The second is a million VMs every 30 s."""
SETUP_SECONDS = 5.0


def measure(bench: Bench, arena: Arena, section: Section) -> None:
    """Load it as fast as it answers."""
    plan, contender = bench.plan.ingest, arena.batches
    load = replace(plan.load, wires=plan.batch_wires)
    said = f"{contender.title} of {plan.batch}"
    if not bench.fits(SETUP_SECONDS + load.repeats * (load.warm_up * 2 + load.closed), said):
        return
    rounds = [contender.closed(bench, load) for _ in range(load.repeats)]
    reports = sum(one.tally.ok for one in rounds) * plan.batch
    section.add(
        "batches.rate",
        f"{said}: reports at most",
        PER_SECOND,
        [one.rate for one in rounds],
        n=sum(one.tally.in_window for one in rounds) * plan.batch,
        reference="defib.rate",
        target=TARGET,
    )
    for percent in (50, 99):
        section.add(
            f"batches.p{percent}",
            f"{said}: p{percent} meanwhile",
            MS,
            [milliseconds(one.tally.latency(percent)) for one in rounds],
            n=sum(len(one.tally.latencies) for one in rounds),
        )
    for process in (SERVER, POSTGRES, GENERATOR):
        section.add(
            f"batches.cpu.{process}",
            f"{said}: CPU of {process}",
            MICROSECONDS,
            [one.cost(process) for one in rounds],
            n=reports,
            reference=f"defib.cpu.{process}",
        )
