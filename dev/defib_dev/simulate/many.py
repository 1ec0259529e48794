"""Plays random scenarios, many of them, and keeps each that breaks an invariant as a file."""

import gc
import multiprocessing
import queue
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path

from defib_dev.simulate.chance import scenario_text
from defib_dev.simulate.database import SimulatedDatabase, running_database
from defib_dev.simulate.expectations import Failure
from defib_dev.simulate.parse import parse_scenario
from defib_dev.simulate.reading import NotAScenario
from defib_dev.simulate.run import simulate

ENDS_WITHIN_SECONDS = 30.0
LOOK_AFTER_SECONDS = 2.0
"""How often to see whether the processes that play are still there."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one seed."""

    seed: int
    posts: int
    holds: Mapping[str, int]
    """How many holds there were for each reason."""
    transitions: int
    violations: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Died:
    """A process that played ended too early, and why."""

    why: str


@dataclass(slots=True)
class Tally:
    """How far a run has come."""

    wanted: int
    played: int = 0
    posts: int = 0
    with_posts: int = 0
    """How many of them reset something."""
    transitions: int = 0
    holds: Counter[str] = field(default_factory=Counter)
    broken: int = 0

    def count(self, one: Played) -> None:
        """Take one more into account."""
        self.played += 1
        self.posts += one.posts
        self.with_posts += one.posts > 0
        self.transitions += one.transitions
        self.holds.update(one.holds)
        self.broken += bool(one.violations)

    @property
    def is_worth_a_line(self) -> bool:
        """Whether a hundredth of the way, or ten scenarios, has passed since the last line."""
        return self.played % max(10, self.wanted // 100) == 0

    def told(self, seeds: range) -> str:
        """Sum it up."""
        holds = ", ".join(f"{reason} {count}" for reason, count in self.holds.most_common())
        return (
            f"{self.played} random scenarios (seeds {seeds.start} to {seeds.stop - 1}): "
            f"{self.posts} resets in {self.with_posts} of them, {self.transitions} transitions, "
            f"{self.broken} with broken invariants\n"
            f"holds: {holds or 'none'}"
        )


def play_seed(seed: int, database: SimulatedDatabase) -> Played:
    """Play one seed's scenario; an error of the simulation itself counts as a violation."""
    try:
        outcome = simulate(parse_scenario(scenario_text(seed)), database, invariants=True)
    except NotAScenario as error:
        why = Failure("some time", "a scenario that can happen", str(error))
        return Played(seed, 0, {}, 0, (why,))
    record = outcome.record
    return Played(
        seed=seed,
        posts=sum(reset.posted for reset in record.resets),
        holds=Counter(hold.reason for hold in record.holds),
        transitions=len(record.transitions),
        violations=tuple(outcome.failures),
    )


def play_seeds(seeds: Sequence[int], jobs: int) -> Iterator[Played]:
    """Play every seed, in so many processes, each with a database of its own."""
    if jobs == 1:
        with running_database() as database:
            gc.freeze()  # what is there by now stays, and need not be looked through again
            for seed in seeds:
                yield play_seed(seed, database)
        return
    yield from _play_beside(seeds, jobs)


def _play_beside(seeds: Sequence[int], jobs: int) -> Iterator[Played]:
    context = multiprocessing.get_context("spawn")
    results: Queue[Played | Died] = context.Queue()
    players = [
        context.Process(target=_play_into, args=(seeds[number::jobs], results), daemon=True)
        for number in range(jobs)
    ]
    for player in players:
        player.start()
    try:
        for _ in seeds:
            yield next_of(results, players)
        for player in players:
            player.join(ENDS_WITHIN_SECONDS)  # it takes its database away
    finally:
        for player in players:
            player.terminate()
            player.join()


def next_of(results: "Queue[Played | Died]", players: Sequence[BaseProcess]) -> Played:
    """Wait for the next result; raises RuntimeError where a process ended before its last."""
    while True:
        try:
            result = results.get(timeout=LOOK_AFTER_SECONDS)
        except queue.Empty:
            if any(player.exitcode for player in players):
                raise RuntimeError("a process that played has ended; see above") from None
            continue
        match result:
            case Died(why):
                raise RuntimeError(why)
            case Played():
                return result


def _play_into(seeds: Sequence[int], results: "Queue[Played | Died]") -> None:
    try:
        for played in play_seeds(seeds, 1):
            results.put(played)
    except Exception as error:
        results.put(Died(repr(error)))
        raise


def keep(seed: int, folder: Path) -> Path:
    """Write the scenario of a seed, so that it can be played again."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"chance-{seed}.yaml"
    file.write_text(scenario_text(seed))
    return file
