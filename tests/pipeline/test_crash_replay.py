"""The operator dies after each step of the pipeline, and at each of its database commits.

Whatever the moment, the next process brings the intent to its end with at most one POST a step,
and the guest is on.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

import defib_operator.posting
from support.pipeline_world import Mortal, World, new_world, operate

CHECKPOINTS = ("intent", "sending", "sent", "polled")
MOST_COMMITS = 40


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search for a lost task for as long as the simulated tasks take, and not 45 seconds."""
    monkeypatch.setattr(defib_operator.posting, "SEARCH_FOR", timedelta(milliseconds=200))
    monkeypatch.setattr(defib_operator.posting, "POLL_EVERY", timedelta(milliseconds=20))


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A VM whose first step is a reset."""
    made = await new_world(database_url)
    yield made
    await made.engine.dispose()


@pytest.fixture
async def stop_start(database_url: str) -> AsyncIterator[World]:
    """A VM whose first step is a stop and start."""
    made = await new_world(database_url, steps=("StopStart",))
    yield made
    await made.engine.dispose()


async def phases(world: World) -> list[str]:
    return [row.phase for row in await world.query("SELECT phase FROM reset_history ORDER BY id")]


def is_on(world: World) -> bool:
    return world.dc.guests[100].machine.power == "running"


async def live_on(world: World, mortal: Mortal) -> None:
    """Die as told, then let the next process go on until nothing is unfinished."""
    await operate(world, mortal)
    assert mortal.died
    await operate(world, Mortal())


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
async def test_a_death_at_a_step_of_a_reset_leads_to_at_most_one_post(
    world: World, checkpoint: str
) -> None:
    await world.make_silent()

    await live_on(world, Mortal(at_checkpoint=checkpoint))

    expected = {"sending": []}.get(checkpoint, ["reset"])
    assert world.posts() == expected
    assert await phases(world) == ["unknown" if checkpoint == "sending" else "succeeded"]
    assert is_on(world)


@pytest.mark.parametrize("checkpoint", ["intent", "sending", "sent", "stopped", "polled"])
async def test_a_death_at_a_step_of_a_stop_and_start_leads_to_a_guest_that_is_on(
    stop_start: World, checkpoint: str
) -> None:
    world = stop_start
    await world.make_silent()

    await live_on(world, Mortal(at_checkpoint=checkpoint))

    if checkpoint == "sending":
        assert world.posts() == []
        assert await phases(world) == ["unknown"]
    else:
        assert world.posts() == ["stop", "start"]
        assert await phases(world) == ["succeeded"]
    assert is_on(world)


@pytest.mark.parametrize("steps", [("Reset",), ("StopStart",)])
async def test_a_death_at_any_commit_repeats_no_post_and_leaves_the_guest_on(
    database_url: str, steps: tuple[str, ...]
) -> None:
    deaths = 0
    for number in range(1, MOST_COMMITS):
        world = await new_world(database_url, steps=steps)
        try:
            await world.make_silent()
            mortal = Mortal(at_commit=number)
            await operate(world, mortal)
            await operate(world, Mortal())
            await no_step_was_posted_twice(world)
            # What may have been stopped is started: here, or by the next attempt.
            await operate(world, Mortal())
            assert is_on(world), f"death at commit {number}"
        finally:
            await world.reset()
        deaths += mortal.died
        if not mortal.died:
            break

    assert deaths >= 5
    assert not mortal.died, "the run was never long enough to end by itself"


async def no_step_was_posted_twice(world: World) -> None:
    rows = await world.query(
        "SELECT r.id, array_agg(p.step ORDER BY p.seq) AS steps"
        " FROM reset_history r JOIN reset_step p ON p.intent_id = r.id GROUP BY r.id"
    )
    claimed = sorted(step for row in rows for step in row.steps)
    sent = world.posts()

    assert len(sent) == len([step for step in sent if step in claimed])
    assert all(sent.count(step) <= claimed.count(step) for step in sent)


async def test_an_undisturbed_reset_is_one_post(world: World) -> None:
    await world.make_silent()

    await operate(world, Mortal())

    assert world.posts() == ["reset"]
    assert await phases(world) == ["succeeded"]
    await world.heartbeat("after")
    (row,) = await world.query(
        "SELECT recovered_at, success FROM ("
        "SELECT recovered_at, phase = 'succeeded' AS success FROM reset_history) x"
    )
    assert row.recovered_at is not None
    assert row.success
