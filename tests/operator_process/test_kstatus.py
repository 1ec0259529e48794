"""GitOps tools know by kstatus when an object is done, when to wait, and when that is in vain."""

import pytest

from operator_process.world import CLUSTER, CONFIG, TOKEN_SECRET_NAME, VM, World
from support.kstatus import CURRENT, FAILED, IN_PROGRESS, kstatus
from support.proxmox import SECRET, TOKEN_ID
from support.waiting import eventually_async


async def judged(world: World, kind: str, name: str) -> str | None:
    found = await world.kube.get(kind, name)
    return None if found is None else kstatus(found)


async def becomes(world: World, kind: str, name: str, wanted: str) -> None:
    async def is_so() -> bool:
        return await judged(world, kind, name) == wanted

    await eventually_async(is_so, what=f"{kind} {name} is {wanted}", deadline_seconds=60)


async def types_of(world: World, kind: str, name: str) -> set[str]:
    return {one["type"] for one in (await world.status(kind, name))["conditions"]}


async def test_what_nobody_has_looked_at_is_waited_for(empty_world: World) -> None:
    world = empty_world
    await world.furnish()
    await world.apply_vm("web-0", 100)
    for kind, name in ((VM, "web-0"), (CONFIG, "default"), (CLUSTER, "default")):
        assert await judged(world, kind, name) == IN_PROGRESS
    async with world.operator():
        for kind, name in ((VM, "web-0"), (CONFIG, "default"), (CLUSTER, "default")):
            await becomes(world, kind, name, CURRENT)
            assert await types_of(world, kind, name) & {"Reconciling", "Stalled"} == set()


async def test_a_vm_that_is_down_is_no_matter_of_its_spec(world: World) -> None:
    await world.watched("web-0", 100, remediation={"enabled": False})
    await becomes(world, VM, "web-0", CURRENT)
    world.change(100, frozen=True)
    await world.health("web-0", "down")
    assert await judged(world, VM, "web-0") == CURRENT


async def test_a_changed_spec_is_done_once_it_is_in_force(world: World) -> None:
    await world.watched("web-0", 100)
    await world.apply_vm("web-0", 100, overrides={"cpuThreshold": 50})
    await becomes(world, VM, "web-0", CURRENT)
    found = await world.kube.get(VM, "web-0")
    assert found is not None
    assert found["metadata"]["generation"] == found["status"]["observedGeneration"] == 2
    assert {one["observedGeneration"] for one in found["status"]["conditions"]} == {2}


async def test_what_may_come_right_is_waited_for(world: World) -> None:
    await world.apply_vm("web-0", 100, configRef={"name": "later"})
    await world.condition("web-0", "Reconciling", "ConfigNotFound")
    assert await judged(world, VM, "web-0") == IN_PROGRESS
    await world.apply_config("later")
    await becomes(world, VM, "web-0", CURRENT)
    assert "Reconciling" not in await types_of(world, VM, "web-0")


async def test_waiting_for_a_conflict_is_in_vain(world: World) -> None:
    await world.watched("web-0", 100)
    await world.apply_vm("web-0-again", 100)
    names = ("web-0", "web-0-again")  # made in the same second, either may be the younger

    async def one_stands() -> bool:
        return {await judged(world, VM, name) for name in names} == {CURRENT, FAILED}

    await eventually_async(one_stands, what="one of the two stands", deadline_seconds=60)
    (failed,) = [name for name in names if await judged(world, VM, name) == FAILED]
    stalled = await world.condition(failed, "Stalled", "Conflict")
    ready = await world.condition(failed, "Ready", "Conflict")
    assert stalled["message"] == ready["message"]


@pytest.mark.parametrize(
    ("secret", "wanted", "reason"),
    [
        (None, IN_PROGRESS, "SecretNotFound"),
        ({"tokenId": TOKEN_ID, "tokenSecret": "wrong"}, FAILED, "TokenRefused"),
    ],
    ids=["missing", "wrong"],
)
async def test_a_cluster_waits_for_its_secret_and_not_for_a_wrong_one(
    world: World, secret: dict[str, str] | None, wanted: str, reason: str
) -> None:
    await becomes(world, CLUSTER, "default", CURRENT)
    if secret is None:
        await world.kube.delete_secret(TOKEN_SECRET_NAME)
    else:
        await world.kube.put_secret(TOKEN_SECRET_NAME, secret)
    await world.condition("default", "Ready", reason, kind=CLUSTER, deadline_seconds=60)
    assert await judged(world, CLUSTER, "default") == wanted
    await world.kube.put_secret(TOKEN_SECRET_NAME, {"tokenId": TOKEN_ID, "tokenSecret": SECRET})
    await becomes(world, CLUSTER, "default", CURRENT)
