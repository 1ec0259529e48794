"""Reports on a schedule, whatever comes back: how long each waits from the time it was due."""

from defib_dev.bench.arena import BARE, DEFIB, TITLES, Arena
from defib_dev.bench.bench import Bench
from defib_dev.bench.contenders import Loaded
from defib_dev.bench.figures import MS, Section, Target, milliseconds
from defib_dev.bench.plan import IngestPlan
from defib_dev.bench.saturation import Saturation

TARGETS = {50: None, 99: Target(100, 30, higher_is_better=False)}
"""By percentile; for Defib at the full rate."""


def measure(bench: Bench, arena: Arena, most: Saturation, section: Section) -> None:
    """Load all by turns, each at a rate it can keep."""
    plan = bench.plan.ingest
    paces = {name: pace(name, most, plan) for name in arena.contenders}
    rounds: dict[str, list[Loaded]] = {name: [] for name in arena.contenders}
    for number in range(plan.load.repeats):
        for name, contender in arena.contenders.items():
            turn = f"({number + 1}/{plan.load.repeats})"
            bench.say(f"  {contender.title}, {paces[name]:,.0f}/s on schedule {turn}")
            rounds[name].append(contender.opened(bench, plan.load, paces[name]))
    for name, loaded in rounds.items():
        _add_latencies(section, name, loaded, paces[name], full_rate=paces[name] == plan.rate)
    late = [milliseconds(one.tally.late(99)) for one in rounds[DEFIB]]
    section.add("generator.late", "Lateness of the generator itself, p99", MS, late)


def pace(name: str, most: Saturation, plan: IngestPlan) -> float:
    """The planned rate, or a share of what the server can take. Bare goes at Defib's."""
    slowest = min(most.rates(DEFIB if name == BARE else name))
    return max(1.0, min(plan.rate, slowest * plan.share_of_most))


def burst(bench: Bench, arena: Arena, section: Section) -> None:
    """For a moment many times the rate: is all answered, and when."""
    plan = bench.plan.ingest
    rate = plan.rate * plan.burst_factor
    said = f"{rate:,.0f}/s for {plan.burst_seconds:g} s"
    if not bench.fits(plan.burst_seconds + plan.burst_drain, f"reports in a burst: {said}"):
        return
    tally = (
        arena.contenders[DEFIB]
        .burst(
            bench,
            wires=plan.burst_wires,
            rate=rate,
            seconds=plan.burst_seconds,
            drain=plan.burst_drain,
        )
        .tally
    )
    sent = round(rate * plan.burst_seconds)
    section.add("burst.lasted", f"Defib: {said}, answered after", "s", [tally.lasted], n=sent)
    section.add("burst.unserved", "... not answered with 200", "reports", [sent - tally.ok], n=sent)


def _add_latencies(
    section: Section, name: str, loaded: list[Loaded], rate: float, *, full_rate: bool
) -> None:
    for percent, target in TARGETS.items():
        section.add(
            f"{name}.p{percent}",
            f"{TITLES[name]}: p{percent} at {rate:,.0f}/s",
            MS,
            [milliseconds(one.tally.latency(percent)) for one in loaded],
            n=sum(len(one.tally.latencies) for one in loaded),
            reference=None if name == BARE else f"{BARE}.p{percent}",
            target=target if name == DEFIB and full_rate else None,
        )
