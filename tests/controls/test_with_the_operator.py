"""A person's day: the program `defib`, a real API, a real operator, a guest that hangs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controls.program import Program, program_for
from operator_process.world import World
from support.running_api import running_api
from support.waiting import eventually_async


@pytest.fixture
async def defib(world: World, tmp_path: Path) -> AsyncIterator[Program]:
    """The program, and an API on the operator's database."""
    async with running_api(world.database_url, None) as api:
        yield program_for(api, tmp_path)


async def is_seen_in_proxmox(world: World) -> None:
    """A person's reset does not wait for the operator's next look at the cluster's list."""

    async def is_so() -> bool:
        return await world.vm_row(100, "v.proxmox_state") == ("running",)

    await eventually_async(is_so, what="the operator has seen the guest run")


async def was_reset(world: World) -> None:
    async def is_so() -> bool:
        return world.posts(100) == ["reset"]

    await eventually_async(is_so, what="it was reset once", deadline_seconds=30)


async def test_a_pause_holds_is_explained_and_leaves_a_full_timeout(
    world: World, defib: Program
) -> None:
    await world.watched("web-0", 100)
    paused = await defib("pause", "web-0", "--reason", "Kim: disk", "--for", "1h")
    assert paused.code == 0, paused.err
    world.change(100, frozen=True, bootSeconds=1)
    await world.held(100, "Paused")

    told = await defib("explain", "web-0")
    for words in (
        "web-0 is down since",
        "Paused: paused until",
        "HOLDS      Paused: paused until",
        "its pause ends, and one more full timeout passes",
        "Paused: by alice: Kim: disk",
        "transition: healthy -> down: HeartbeatMissing",
    ):
        assert words in told.out, told.out
    assert "WARNING" not in told.out

    await defib("unpause", "web-0")
    waiting = await defib("explain", "web-0")
    assert "its pause was ended" in waiting.out or "its pause ended" in waiting.out
    await was_reset(world)
    await world.health("web-0", "healthy")
    after = await defib("explain", "web-0")
    assert "Reset, attempt 1, by defib-operator: Auto-reset: stale VM; carried out" in after.out


async def test_a_stop_refuses_a_forced_reset_and_lets_go_again(
    world: World, defib: Program
) -> None:
    await world.watched("web-0", 100)
    await is_seen_in_proxmox(world)
    assert (await defib("stop", "--reason", "Kim: storage")).code == 0

    refused = await defib("reset", "web-0", "--reason", "now", "--force")
    assert refused.code == 1
    assert "web-0 was not reset: everything is stopped: Kim: storage (alice)" in refused.err
    assert "(GlobalStop)" in refused.err
    assert world.posts(100) == []

    assert (await defib("go")).code == 0
    done = await defib("reset", "web-0", "--reason", "now")
    assert done.code == 0, done.err
    assert world.posts(100) == ["reset"]


async def test_a_lock_in_proxmox_is_explained_by_the_operators_word(
    world: World, defib: Program
) -> None:
    await world.watched("web-0", 100)
    world.change(100, frozen=True, lock="backup", bootSeconds=1)
    await world.held(100, "VMLocked")

    told = await defib("explain", "web-0")

    assert "VMLocked: it is locked in Proxmox (backup) (since" in told.out
    assert "HOLDS      VMLocked" in told.out
    assert "its lock in Proxmox is released" in told.out
