"""Operators as processes: one leads, one stands by, and any of them may die."""

import signal
import time
from pathlib import Path

from operator_process.world import OperatorProcess, World
from support.proxmox import SECRET
from support.waiting import eventually_async

STARTS_WITHIN = 30


async def ended(process: OperatorProcess, *, deadline_seconds: float) -> None:
    """Wait for the end of a process."""

    async def is_so() -> bool:
        return not process.is_running

    await eventually_async(is_so, what="the process ends", deadline_seconds=deadline_seconds)


async def test_two_operators_send_one_reset_and_the_standby_takes_over_from_a_killed_one(
    empty_world: World, tmp_path: Path
) -> None:
    world = empty_world
    await world.furnish()
    with world.process(tmp_path, identity="one") as one:
        await world.is_led_by("one", deadline_seconds=STARTS_WITHIN)
        with world.process(tmp_path, identity="two", log_level="debug") as two:
            await world.watched("web-0", 100)
            world.change(100, frozen=True, bootSeconds=1)
            await world.health("web-0", "healthy", deadline_seconds=20)
            await world.health("web-0", "healthy", deadline_seconds=30)

            async def proven() -> bool:
                return await world.resets(100) == [("auto", "succeeded", True)]

            await eventually_async(proven, what="one reset", deadline_seconds=20)
            assert world.posts(100) == ["reset"]

            async def stands_by() -> bool:
                return '"event": "operator_started"' in two.log.read_text()

            await eventually_async(stands_by, what="two stands by", deadline_seconds=STARTS_WITHIN)

            one.kill()
            await world.is_led_by("two", deadline_seconds=10)

            await world.apply_vm("web-1", 101)
            await world.condition("web-1", "Ready", "Monitored")
            assert world.posts(100) == ["reset"]
    logs = one.log.read_text() + two.log.read_text()
    assert SECRET not in logs
    assert "only-for-tests" not in logs, "the database's password"
    assert '"level": "error"' not in logs


async def test_a_leader_told_to_end_hands_over_at_once(empty_world: World, tmp_path: Path) -> None:
    world = empty_world
    await world.furnish()
    with world.process(tmp_path, identity="one") as one:
        await world.is_led_by("one", deadline_seconds=STARTS_WITHIN)
        with world.process(tmp_path, identity="two") as two:

            async def stands_by() -> bool:
                return '"event": "operator_started"' in two.log.read_text()

            await eventually_async(stands_by, what="two stands by", deadline_seconds=STARTS_WITHIN)

            one.signal(signal.SIGTERM)
            told_at = time.monotonic()
            await world.is_led_by("two", deadline_seconds=5)
            await ended(one, deadline_seconds=5 - (time.monotonic() - told_at))
            assert '"event": "lease_released"' in one.log.read_text()
            two.signal(signal.SIGINT)
            await ended(two, deadline_seconds=5)
            assert await world.sql("SELECT holder FROM leader_lease") == [(None,)]
            assert '"level": "error"' not in one.log.read_text() + two.log.read_text()


async def test_a_reset_begun_by_a_killed_operator_is_finished_by_the_next_and_sent_once(
    empty_world: World, tmp_path: Path
) -> None:
    world = empty_world
    await world.furnish(bootGraceSeconds=15)
    await world.proxmox_api(taskSeconds=4)
    with world.process(tmp_path, identity="one") as one:
        await world.is_led_by("one", deadline_seconds=STARTS_WITHIN)
        await world.watched("web-0", 100)
        world.change(100, frozen=True, bootSeconds=1)

        async def sent() -> bool:
            return [row[1] for row in await world.resets(100)] == ["sent"]

        await eventually_async(sent, what="the reset is sent", deadline_seconds=20)
        one.kill()

        async with world.operator(identity="two"):

            async def proven() -> bool:
                return await world.resets(100) == [("auto", "succeeded", True)]

            await eventually_async(proven, what="it is finished", deadline_seconds=20)
            assert world.posts(100) == ["reset"]


async def test_an_operator_that_cannot_start_says_why_in_one_line(
    empty_world: World, tmp_path: Path
) -> None:
    world = empty_world
    with world.process(tmp_path, kubeconfig=tmp_path / "missing") as process:
        await ended(process, deadline_seconds=STARTS_WITHIN)
        said = process.log.read_text()
        assert "DEFIB_KUBECONFIG" in said
        assert "Traceback" not in said
