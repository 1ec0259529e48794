"""From the last judgement to the POST nothing waits, nothing leaves late, and nothing is counted
that was never sent."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from defib_dev.proxmox_sim.faults import ApiMode
from defib_dev.proxmox_sim.inprocess import InProcessWire
from support import pipeline_world
from support.pipeline_world import Mortal, World, new_world, operate
from support.waiting import eventually_async


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A VM whose first step is a reset."""
    made = await new_world(database_url)
    await made.make_silent()
    yield made
    await made.engine.dispose()


@dataclass
class Meddler(Mortal):
    """Does something at a step of the pipeline, and lets it go on."""

    at: str = "sending"
    meddle: Callable[[], object] = lambda: None

    async def checkpoint(self, name: str) -> None:
        await super().checkpoint(name)
        if name == self.at:
            self.meddle()


async def story(world: World) -> list[tuple[str, str | None, bool]]:
    rows = await world.query(
        "SELECT phase, cancelled_by, sent_at IS NOT NULL AS sent FROM reset_history ORDER BY id"
    )
    return [(row.phase, row.cancelled_by, row.sent) for row in rows]


async def attempts(world: World) -> int:
    (row,) = await world.query("SELECT reset_attempts FROM vm_state")
    return int(row.reset_attempts)


async def test_who_waited_for_a_place_is_judged_when_it_has_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = asyncio.Semaphore(1)
    monkeypatch.setattr(InProcessWire, "place", lambda _: places)
    async with places:
        operating = asyncio.create_task(operate(world, Mortal()))

        async def is_intended() -> bool:
            return await story(world) == [("requested", None, False)]

        await eventually_async(is_intended, what="the intent waits for a place")
        await world.heartbeat("it-was-alive")
    await operating

    assert await story(world) == [("cancelled", "HeartbeatSinceIntent", False)]
    assert world.posts() == []
    assert await attempts(world) == 0


async def test_a_leader_that_was_stopped_between_claim_and_post_sends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = time.monotonic()
    monkeypatch.setattr(pipeline_world.OneLead, "until", passed)

    await operate(world, Mortal())

    assert world.posts() == []
    assert await story(world) == [("failed", None, False)]


async def test_an_attempt_that_proxmox_never_heard_of_is_none_and_is_waited_after(
    world: World,
) -> None:
    def cut() -> None:
        world.dc.mode = ApiMode.UNREACHABLE

    await operate(world, Meddler(meddle=cut))

    assert world.posts() == []
    assert await story(world) == [("failed", None, False)]
    assert await attempts(world) == 0
    world.dc.mode = ApiMode.OK
    async with world.engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE system_config SET spec = spec || '{\"bootGraceSeconds\": 3600}'"
        )
    await operate(world, Mortal())
    held = await world.query("SELECT reason FROM hold WHERE ended_at IS NULL")
    assert [row.reason for row in held] == ["BackOff"]
    assert world.posts() == []
