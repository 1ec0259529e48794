"""The main job, watched from where people stand: objects, Events, and what Proxmox was asked."""

from operator_process.world import VM, World
from support.waiting import eventually_async


async def test_a_silent_vm_goes_down_is_reset_once_and_recovers_by_its_own_heartbeat(
    world: World,
) -> None:
    await world.watched("web-0", 100)
    boot_before = world.proxmox.dc.guest(100).simulated.boot_id

    world.change(100, frozen=True, bootSeconds=1)

    down = await world.health("web-0", "down")
    assert down["resetPending"] in (False, True)
    await world.health("web-0", "healthy")

    async def proven() -> bool:
        return await world.resets(100) == [("auto", "succeeded", True)]

    await eventually_async(proven, what="the recovery is proven")
    assert world.posts(100) == ["reset"]
    assert world.proxmox.dc.guest(100).simulated.boot_id != boot_before
    status = await world.status(VM, "web-0")
    assert status["resetAttempts"] == 1
    assert status["lastReset"]["outcome"] == "succeeded"


async def test_traffic_is_watched_for_the_whole_window_before_a_reset(world: World) -> None:
    await world.apply_config(safety={"ioWindowSeconds": 5})
    await world.watched("web-0", 100)

    world.change(100, frozen=True, bootSeconds=1)

    await world.held(100, "Looking")
    assert world.posts(100) == []
    looking = await world.condition("web-0", "RemediationAllowed", "Looking")
    assert looking["status"] == "False"
    await world.health("web-0", "healthy")
    assert world.posts(100) == ["reset"]


async def test_a_vm_that_stays_dead_is_given_up_after_its_attempts(world: World) -> None:
    await world.apply_config(maxResetAttempts=1, bootGraceSeconds=1)
    await world.watched("web-0", 100)

    world.change(100, frozen=True, bootSeconds=None)

    status = await world.health("web-0", "reset_failed")
    assert status["resetAttempts"] == 1
    failed = await world.condition("web-0", "Healthy", "AttemptsExhausted")
    assert "clear it by hand" in failed["message"]
    assert world.posts(100) == ["reset"]


async def test_a_locked_vm_is_held_and_has_a_full_timeout_after_the_lock(world: World) -> None:
    await world.watched("web-0", 100)

    world.change(100, frozen=True, lock="backup", bootSeconds=1)

    await world.held(100, "VMLocked")
    locked = await world.condition("web-0", "RemediationAllowed", "VMLocked")
    assert "backup" in locked["message"]
    assert world.posts(100) == []

    (unlocked_at,) = (await world.sql("SELECT defib_now()"))[0]
    world.change(100, lock=None)
    await world.health("web-0", "healthy")
    (sent_at,) = (await world.sql("SELECT sent_at FROM reset_history"))[0]
    assert (sent_at - unlocked_at).total_seconds() >= 2
    assert world.posts(100) == ["reset"]


async def test_a_vm_that_somebody_switched_off_is_not_started(world: World) -> None:
    await world.watched("web-0", 100)

    world.change(100, power="stopped")

    await world.held(100, "VMStopped")
    await world.condition("web-0", "RemediationAllowed", "VMStopped")
    await world.sweeps(2)
    assert world.posts(100) == []
    assert await world.resets(100) == []


async def test_a_dry_run_records_what_would_have_been_done_and_does_nothing(world: World) -> None:
    await world.apply_config(dryRun=True)
    await world.watched("web-0", 100)

    world.change(100, frozen=True)

    async def recorded() -> bool:
        return await world.resets(100) == [("auto", "dry_run", False)]

    await eventually_async(recorded, what="the dry run is recorded")
    await world.sweeps(3)
    assert await world.resets(100) == [("auto", "dry_run", False)]
    assert world.posts(100) == []
    status = await world.health("web-0", "down")
    assert status["lastReset"]["outcome"] == "dry_run"
    assert status["resetAttempts"] == 0
