"""Runs scenarios: each on its own virtual time, one after the other on one database."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from defib_dev.simulate.database import SimulatedDatabase
from defib_dev.simulate.expectations import Failure, Judged
from defib_dev.simulate.happenings import happen
from defib_dev.simulate.invariants import violations
from defib_dev.simulate.record import Record
from defib_dev.simulate.scenario import Scenario
from defib_dev.simulate.skipping import skipper
from defib_dev.simulate.story import read_story
from defib_dev.simulate.troubles import Troubles
from defib_dev.simulate.virtual_time import Timeline, VirtualLoop
from defib_dev.simulate.world import OPERATORS_START_AT, World


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a scenario."""

    scenario: Scenario
    record: Record
    failures: list[Failure]

    @property
    def passed(self) -> bool:
        """Whether every expectation holds."""
        return not self.failures


def simulate(
    scenario: Scenario,
    database: SimulatedDatabase,
    *,
    skips: bool = True,
    invariants: bool = False,
) -> Outcome:
    """Run one scenario. Raises NotAScenario where an event turns out to be impossible.

    `skips` False: every moment is played, which takes several times as long and changes nothing.
    `invariants`: what must hold of every scenario is looked for as well.
    """
    world, troubles = _played(scenario, database, skips=skips)
    story = read_story(world)
    failures = Judged(scenario, story.record).failures()
    if invariants:
        failures += violations(story)
    return Outcome(scenario, story.record, [*failures, *troubles.failures()])


def _played(
    scenario: Scenario, database: SimulatedDatabase, *, skips: bool
) -> tuple[World, Troubles]:
    database.empty()
    loop = VirtualLoop()
    troubles = Troubles()
    loop.set_exception_handler(troubles.in_task)
    try:
        with troubles.collected():
            world = World.of(scenario, database.sessions, Timeline(loop))
            world.spares = skips
            loop.run_until_complete(_play(world, skips=skips))
    finally:
        loop.close()
    return world, troubles


async def _play(world: World, *, skips: bool) -> None:
    await world.begin()
    living = asyncio.create_task(world.live())
    try:
        world.later(_first_operator(world))
        with skipper(world, skips=skips) as play:
            for event in world.scenario.events:
                await play.play_until(event.at)
                await happen(world, event)
            await play.play_until(world.scenario.until)
        if living.done():
            living.result()
    finally:
        living.cancel()
        with suppress(asyncio.CancelledError):
            await living
        await world.close()


async def _first_operator(world: World) -> None:
    await asyncio.sleep(OPERATORS_START_AT)
    world.start_replica()
