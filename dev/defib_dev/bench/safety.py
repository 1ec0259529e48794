"""What must not happen, counted over many occasions, and how long a recovery takes.

Breadth comes from the policy simulator (the code of production on a virtual clock), times from the
whole stack on real parts, see recovery.py. A wrong reset is a fault of the run, not only a figure.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from defib_dev.bench import incidents, recovery
from defib_dev.bench.bench import Bench
from defib_dev.bench.figures import BenchError, Section, Target, percentile
from defib_dev.bench.incidents import Incident
from defib_dev.simulate.database import SimulatedDatabase, running_database
from defib_dev.simulate.parse import parse_scenario
from defib_dev.simulate.record import Record, Reset
from defib_dev.simulate.run import simulate
from defib_dev.simulate.world import Post

SEED = 20_261_126
NONE_AT_ALL = Target(0, 0, higher_is_better=False)
SECONDS_A_SCENARIO = 4.0
SETUP_SECONDS = 8.0
SECONDS = "s"
SIMULATED = "simulated, default timeouts, guests boot in 20 to 120 s"


@dataclass(frozen=True, slots=True)
class Tally:
    """How often the wrong thing happened, of so many times that it could have."""

    wrong: int
    of: int


def measure(bench: Bench) -> Section | None:
    """Measure what there is time for; None where there was for nothing."""
    section = Section("safety", "Safety")
    plan = bench.plan.safety
    scenarios = plan.outages + plan.kills + plan.busy + plan.deaths
    estimate = SETUP_SECONDS + scenarios * SECONDS_A_SCENARIO
    if bench.fits(estimate, f"{scenarios} incidents in the policy simulator"):
        section.conditions |= {"seed": SEED, "incidents": scenarios}
        with running_database() as database:
            _in_the_simulator(bench, database, section)
    if plan.frozen and bench.fits(recovery.estimate(plan), "recoveries on the whole stack"):
        _on_the_stack(bench, section)
    return section if section.figures else None


def _in_the_simulator(bench: Bench, database: SimulatedDatabase, section: Section) -> None:
    plan = bench.plan.safety
    outages = sum_of(
        resets_of_the_living(one, play(one, database))
        for one in incidents.outages(plan.outages, SEED)
    )
    _add(bench, section, "outage", "Resets during an outage of the monitor", outages)
    kills = sum_of(
        second_posts(one, play(one, database)) for one in incidents.kills(plan.kills, SEED)
    )
    _add(bench, section, "second_posts", "Second POSTs for an intent, across a kill", kills)
    busy = sum_of(
        posts_to_the_busy(one, play(one, database)) for one in incidents.busy(plan.busy, SEED)
    )
    what = "Resets sent to a locked, stopped or migrated-away VM"
    _add(bench, section, "busy", what, busy)
    took = sorted(
        seconds
        for one in incidents.deaths(plan.deaths, SEED)
        for seconds in recoveries(play(one, database))
    )
    _add_times(section, "simulated", SIMULATED, took)


def _on_the_stack(bench: Bench, section: Section) -> None:
    seen = recovery.measure(bench.plan.safety, bench.say)
    what = "Second POSTs for an intent, on the whole stack"
    _add(bench, section, "stack.second_posts", what, Tally(seen.second_posts, seen.posts))
    said = f"whole stack, stale timeout {recovery.STALE_SECONDS} s, guests boot in "
    said += f"{recovery.BOOT_SECONDS} s"
    _add_times(section, "stack", said, seen.seconds)


def _add(bench: Bench, section: Section, key: str, what: str, tally: Tally) -> None:
    if not tally.of:
        return
    section.add(key, what, "", [tally.wrong], n=tally.of, target=NONE_AT_ALL)
    if tally.wrong:
        bench.fault(f"{what}: {tally.wrong} of {tally.of}")


def _add_times(section: Section, key: str, said: str, ascending: Sequence[float]) -> None:
    if not ascending:
        return
    for percent in (50, 99):
        section.add(
            f"{key}.recovery.p{percent}",
            f"Last heartbeat to proven recovery, p{percent} ({said})",
            SECONDS,
            [percentile(ascending, percent)],
            n=len(ascending),
        )


def play(incident: Incident, database: SimulatedDatabase) -> Record:
    """Play one; trouble of the operator's own makes its figures worthless."""
    outcome = simulate(parse_scenario(incident.text), database)
    if outcome.failures:
        raise BenchError(f"{outcome.scenario.name} went wrong: {outcome.failures[0]}")
    return outcome.record


def resets_of_the_living(incident: Incident, record: Record) -> Tally:
    """Nobody is dead, so every POST is one too many."""
    return Tally(len(record.posts), incident.vms)


def second_posts(_: Incident, record: Record) -> Tally:
    """Of each intent, the POSTs of a kind beyond the first."""
    intents = sorted(record.resets, key=lambda one: one.at)
    wrong = 0
    for place, intent in enumerate(intents):
        following = [one.at for one in intents[place + 1 :] if one.vm == intent.vm]
        until = min(following, default=float("inf"))
        kinds = Counter(
            post.step
            for post in record.posts
            if post.vm == intent.vm and intent.at <= post.at < until
        )
        wrong += sum(count - 1 for count in kinds.values())
    return Tally(wrong, len(intents))


def posts_to_the_busy(_: Incident, record: Record) -> Tally:
    """POSTs to a VM that must be left alone as it truly stood then, or to a node it had left."""
    return Tally(sum(_is_wrong(post) for post in record.posts), 1)


def _is_wrong(post: Post) -> bool:
    switched_off = post.power == "stopped" and post.step != "start"
    return post.lock is not None or switched_off or not post.is_here


def recoveries(record: Record) -> list[float]:
    """Seconds from the last heartbeat before each proven reset to the first after it."""
    return [
        seconds
        for reset in record.resets
        if reset.recovered
        for seconds in [_recovery(reset, record.heard[reset.vm])]
        if seconds is not None
    ]


def _recovery(reset: Reset, heard: Sequence[float]) -> float | None:
    before = max((at for at in heard if at < reset.at), default=None)
    after = min((at for at in heard if at > reset.at), default=None)
    return None if before is None or after is None else after - before


def sum_of(tallies: Iterable[Tally]) -> Tally:
    """Add up."""
    every = list(tallies)
    return Tally(sum(one.wrong for one in every), sum(one.of for one in every))
