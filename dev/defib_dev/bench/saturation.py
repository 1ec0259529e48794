"""Reports as fast as each server answers: the rate, what a report costs, what it leaves behind."""

from dataclasses import dataclass

from defib_dev.bench import stored
from defib_dev.bench.arena import BARE, DEFIB, NAIVE, POSTGRES, SERVER, TITLES, Arena
from defib_dev.bench.bench import Bench
from defib_dev.bench.contenders import GENERATOR, Loaded
from defib_dev.bench.figures import MICROSECONDS, PER_SECOND, TIMES, Section, Target

TARGETS = {
    NAIVE: Target(25, 35, higher_is_better=True),
    BARE: Target(0.35, 0.5, higher_is_better=True),
}
Rounds = dict[str, list[Loaded]]


@dataclass(frozen=True, slots=True)
class Saturation:
    """What each contender did in each round."""

    rounds: Rounds

    def rates(self, name: str) -> list[float]:
        """Reports a second, a round."""
        return [one.tally.rate for one in self.rounds[name]]


def measure(bench: Bench, arena: Arena, section: Section) -> Saturation:
    """Load all by turns, so that what changes meanwhile befalls all alike."""
    url, superuser_url = arena.databases[DEFIB].url, arena.databases[DEFIB].superuser_url
    rounds: Rounds = {name: [] for name in arena.contenders}
    before = stored.state_table(url, 0)
    log_bytes = []
    plan = bench.plan.ingest.load
    for number in range(plan.repeats):
        for name, contender in arena.contenders.items():
            bench.say(f"  {contender.title}, as fast as it answers ({number + 1}/{plan.repeats})")
            log_before = stored.log_position(superuser_url)
            loaded = contender.closed(bench, plan)
            rounds[name].append(loaded)
            if name == DEFIB:
                written = stored.log_position(superuser_url) - log_before
                log_bytes.append(written / max(loaded.tally.ok, 1))
    found = Saturation(rounds)
    _add_rates(section, found)
    _add_costs(section, found)
    section.add("defib.log", "Defib: write-ahead log", "bytes/report", log_bytes)
    updates = arena.contenders[DEFIB].acknowledged.total()
    _add_table(section, before, stored.state_table(url, updates))
    return found


def _add_rates(section: Section, found: Saturation) -> None:
    for name, loaded in found.rounds.items():
        section.add(
            f"{name}.rate",
            f"{TITLES[name]}: reports at most",
            PER_SECOND,
            found.rates(name),
            n=sum(one.tally.in_window for one in loaded),
            reference=None if name == BARE else f"{BARE}.rate",
        )
    for name, target in TARGETS.items():
        pairs = zip(found.rates(DEFIB), found.rates(name), strict=True)
        section.add(
            f"defib.against_{name}",
            f"Defib against {TITLES[name]}",
            TIMES,
            # One that answers nothing in the time counts as answering once a second.
            [ours / max(theirs, 1.0) for ours, theirs in pairs],
            reference=f"{name}.rate",
            target=target,
        )


def _add_costs(section: Section, found: Saturation) -> None:
    for name, loaded in found.rounds.items():
        for process in loaded[0].usage.by_process:
            beside_bare = name != BARE and process in {SERVER, GENERATOR}
            section.add(
                f"{name}.cpu.{process}",
                f"{TITLES[name]}: CPU of {process}",
                MICROSECONDS,
                [one.cost(process) for one in loaded],
                n=sum(one.tally.ok for one in loaded),
                reference=f"{BARE}.cpu.{process}" if beside_bare else None,
            )
    for name in (NAIVE, DEFIB):
        section.add(
            f"{name}.cpu",
            f"{TITLES[name]}: CPU of server and PostgreSQL",
            MICROSECONDS,
            [one.cost(SERVER) + one.cost(POSTGRES) for one in found.rounds[name]],
            n=sum(one.tally.ok for one in found.rounds[name]),
            reference=f"{NAIVE}.cpu" if name == DEFIB else None,
        )
    everybody = [one.others_percent for loaded in found.rounds.values() for one in loaded]
    section.add("others", "CPU of programs that do not belong here", "% of a core", everybody)


def _add_table(section: Section, before: stored.StateTable, after: stored.StateTable) -> None:
    updates = after.updates - before.updates
    hot = 100 * (after.hot_updates - before.hot_updates) / max(updates, 1)
    section.add("defib.hot", "Defib: updates of states that touch no index", "%", [hot], n=updates)
    growth = 100 * (after.size / before.size - 1)
    section.add("defib.growth", "Defib: growth of the table of states", "%", [growth], n=updates)
