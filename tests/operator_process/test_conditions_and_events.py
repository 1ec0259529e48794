"""Conditions say since when; Events say each thing once."""

from collections import Counter
from dataclasses import replace

from operator_process.world import VM, World
from support.waiting import eventually_async


async def told(world: World, name: str) -> Counter[str]:
    """How often each reason was told of an object."""
    return Counter(one["reason"] for one in await world.kube.events(name))


async def has_told(world: World, name: str, reason: str) -> None:
    """Wait for an Event."""

    async def is_so() -> bool:
        return bool((await told(world, name))[reason])

    await eventually_async(is_so, what=f"{reason} is told of {name}")


async def a_second_later(world: World, moment: str) -> None:
    """Conditions count whole seconds: wait until the next one has begun."""

    async def is_so() -> bool:
        rows = await world.sql("SELECT defib_now() > %s::timestamptz + interval '1.1 s'", moment)
        return bool(rows[0][0])

    await eventually_async(is_so, what=f"a second has passed since {moment}")


async def test_a_condition_keeps_its_time_until_its_status_flips(world: World) -> None:
    await world.watched("web-0", 100)
    ready = await world.condition("web-0", "Ready", "Monitored")
    healthy = await world.condition("web-0", "Healthy", "FirstHeartbeat")
    await a_second_later(world, healthy["lastTransitionTime"])

    world.agents.known[100].cpu = 95
    warning = await world.condition("web-0", "Healthy", "ThresholdExceeded")

    assert warning["status"] == "False"
    assert warning["lastTransitionTime"] > healthy["lastTransitionTime"]
    assert await world.condition("web-0", "Ready", "Monitored") == ready

    await a_second_later(world, warning["lastTransitionTime"])
    await world.kube.patch(VM, "web-0", {"spec": {"remediation": {"enabled": False}}})
    await world.condition("web-0", "RemediationAllowed", "RemediationDisabled")
    same = await world.condition("web-0", "Healthy", "ThresholdExceeded")
    assert same["lastTransitionTime"] == warning["lastTransitionTime"]
    assert same["observedGeneration"] == 2


async def test_conditions_keep_their_times_over_a_restart(empty_world: World) -> None:
    world = empty_world
    await world.furnish()
    async with world.operator():
        await world.watched("web-0", 100)
        before = await world.status(VM, "web-0")
        await a_second_later(world, before["conditions"][1]["lastTransitionTime"])

    async with world.operator():
        await world.kube.patch(VM, "web-0", {"metadata": {"labels": {"touched": "yes"}}})
        await world.sweeps(2)
        after = await world.status(VM, "web-0")
        assert after["conditions"] == before["conditions"]


async def test_each_step_of_the_story_is_told_once_and_a_restart_repeats_nothing(
    empty_world: World,
) -> None:
    world = empty_world
    await world.furnish()
    async with world.operator():
        await world.apply_vm("web-0", 100)
        await world.condition("web-0", "Ready", "Monitored")
        world.proxmox.guest(100, "web-0")
        await world.agents.begin(100, "web-0")
        await world.health("web-0", "healthy")
        await has_told(world, "web-0", "FirstHeartbeat")
        world.change(100, frozen=True, bootSeconds=2)
        await world.health("web-0", "down")
        await has_told(world, "web-0", "HeartbeatMissing")
        await has_told(world, "web-0", "ResetSucceeded")
        await world.health("web-0", "healthy")
        await has_told(world, "web-0", "HeartbeatFresh")
        first = await told(world, "web-0")

    async with world.operator():
        await world.condition("web-0", "Ready", "Monitored")
        await world.sweeps(3)
        assert await told(world, "web-0") == first
    assert set(first) <= {
        "FirstHeartbeat",
        "HeartbeatMissing",
        "Looking",
        "ResetSent",
        "ResetSucceeded",
        "BackOff",
        "HeartbeatFresh",
    }
    assert set(first.values()) == {1}


async def test_an_event_says_what_where_and_how_bad(world: World) -> None:
    await world.watched("web-0", 100)
    world.change(100, frozen=True, lock="backup")
    await has_told(world, "web-0", "VMLocked")

    events = {one["reason"]: one for one in await world.kube.events("web-0")}

    locked = events["VMLocked"]
    assert locked["type"] == "Warning"
    assert "it is locked in Proxmox (backup)" in locked["note"]
    assert locked["reportingController"] == "defib.dev/operator"
    assert locked["reportingInstance"] == "operator-1"
    assert events["HeartbeatMissing"]["note"] == "healthy -> down"
    found = await world.kube.get(VM, "web-0")
    assert found is not None
    assert locked["regarding"]["uid"] == found["metadata"]["uid"]


async def test_an_object_applied_again_is_not_told_old_news(world: World) -> None:
    await world.watched("web-0", 100)
    world.change(100, frozen=True, bootSeconds=1)
    await has_told(world, "web-0", "ResetSucceeded")
    await world.health("web-0", "healthy")
    before = await told(world, "web-0")
    await world.kube.delete(VM, "web-0")

    async def is_gone() -> bool:
        return await world.vm_row(100, "v.uid") == (None,)

    await eventually_async(is_gone, what="the deletion is noticed")
    await world.apply_vm("web-0", 100)
    await world.condition("web-0", "Ready", "Monitored")
    await world.sweeps(2)

    assert (await told(world, "web-0"))["ResetSucceeded"] == before["ResetSucceeded"] == 1


async def test_an_hour_of_signs_of_life_is_told_once(world: World) -> None:
    await world.watched("web-0", 100)
    world.agents.silence(100)
    await world.held(100, "GuestAgentAlive")
    assert "AgentSuspected" not in await told(world, "web-0")

    # An hour passes: what has happened so far was an hour ago.
    await world.sql("UPDATE vm_state SET last_heartbeat = last_heartbeat - interval '2 h'")
    await world.sql("UPDATE hold SET started_at = started_at - interval '61 min'")
    await has_told(world, "web-0", "AgentSuspected")

    allowed = await world.condition("web-0", "RemediationAllowed", "GuestAgentAlive")
    assert "for more than an hour: repair its agent" in allowed["message"]
    events = {one["reason"]: one for one in await world.kube.events("web-0")}
    assert events["AgentSuspected"]["type"] == "Warning"
    assert "the QEMU guest agent answers" in events["AgentSuspected"]["note"]
    await world.sweeps(2)
    assert (await told(world, "web-0"))["AgentSuspected"] == 1
    assert world.posts(100) == []


async def test_two_machines_behind_one_vm_are_told_once(world: World) -> None:
    await world.watched("web-0", 100)
    agent = world.agents.known[100]
    world.agents.silence(100)
    for number in range(6):
        # 9000: the simulator knows of no such guest, so the boot id is ours.
        await world.agents.beat(replace(agent, vmid=9000, boot_id=f"boot-{number % 2}"))

    await has_told(world, "web-0", "CloneSuspected")

    assert (await world.status(VM, "web-0"))["cloneSuspected"] is True
    assert (await told(world, "web-0"))["CloneSuspected"] == 1
