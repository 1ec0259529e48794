"""A VM that reports gets an object, and only a VM that should."""

from typing import Any

from operator_process.world import VM, World
from support.waiting import eventually_async


async def object_of(world: World, vmid: int) -> dict[str, Any]:
    """Wait for the object of a VM."""

    async def found() -> dict[str, Any] | None:
        return next(
            (one for one in await world.kube.every(VM) if one["spec"]["vmid"] == vmid), None
        )

    registered = await eventually_async(found, what=f"{vmid} has an object")
    assert registered is not None
    return registered


async def test_a_vm_that_reports_gets_an_object_with_our_label(world: World) -> None:
    await world.agents.begin(100, "web-0.example.com")

    registered = await object_of(world, 100)

    assert registered["metadata"]["name"] == "web-0"
    assert registered["metadata"]["labels"] == {"defib.dev/registered-by": "agent"}
    assert "finalizers" not in registered["metadata"]
    assert "annotations" not in registered["metadata"]
    assert registered["spec"]["hostname"] == "web-0.example.com"
    assert registered["spec"]["clusterRef"] == {"name": "default"}
    await world.condition("web-0", "Ready", "Monitored")
    await world.health("web-0", "healthy")


async def test_a_name_that_is_taken_gives_way_to_one_with_cluster_and_vmid(world: World) -> None:
    await world.apply_vm("web-0", 100)
    await world.condition("web-0", "Ready", "Monitored")
    await world.apply_vm("web-0-default-101", 102)
    await world.condition("web-0-default-101", "Ready", "Monitored")

    first = await world.agents.begin(101, "web-0")

    registered = await object_of(world, 101)
    assert registered["metadata"]["name"] == f"web-0-default-101-{first.vm_id}"
    await world.condition(registered["metadata"]["name"], "Ready", "Monitored")
    assert len(await world.kube.every(VM)) == 3


async def test_without_auto_register_nothing_is_created_until_it_is_allowed(
    empty_world: World,
) -> None:
    world = empty_world
    await world.furnish(autoRegister=False)
    async with world.operator():
        await world.agents.begin(100, "web-0")
        await world.sweeps(5)
        assert await world.kube.every(VM) == []

        await world.apply_config(autoRegister=True)

        assert (await object_of(world, 100))["metadata"]["name"] == "web-0"


async def test_hostnames_the_resource_refuses_are_left_out_of_the_spec(world: World) -> None:
    odd = {
        "WEB_01": "web-01",
        "-lead": "lead",
        "büro 7": "b-ro-7",
        "***": "vm-103",
        "x" * 300: "x" * 100,
        "10.0.0.7": "10",
    }
    for number, hostname in enumerate(odd):
        await world.agents.begin(100 + number, hostname)

    for number, (hostname, name) in enumerate(odd.items()):
        registered = await object_of(world, 100 + number)
        assert registered["metadata"]["name"] == name
        await world.condition(name, "Ready", "Monitored")
        assert (await world.status(VM, name))["hostname"] == hostname
    specs = {one["metadata"]["name"]: one["spec"] for one in await world.kube.every(VM)}
    assert {name for name, spec in specs.items() if "hostname" in spec} == {"web-01", "10"}
    refusals = [one for one in world.logged.lines() if one["event"] == "not_registered"]
    assert refusals == []


async def test_what_cannot_be_registered_is_said_once_and_tried_again_later(
    empty_world: World,
) -> None:
    world = empty_world
    await world.furnish(autoRegister=False)
    async with world.operator():
        agent = await world.agents.begin(100, "web-0")
        taken = ("web-0", "web-0-default-100", f"web-0-default-100-{agent.vm_id}")
        for number, name in enumerate(taken):
            await world.apply_vm(name, 200 + number)

        await world.apply_config(autoRegister=True)

        # Others are registered meanwhile, several times over.
        for number in (1, 2, 3):
            await world.agents.begin(100 + number, f"web-{number}")
            await object_of(world, 100 + number)
        said = [one for one in world.logged.lines() if one["event"] == "not_registered"]
        assert [(one["vm"], one["again_in"]) for one in said] == [(agent.vm_id, 10.0)]
        assert "already exists" in said[0]["error"]
        assert len(await world.kube.every(VM)) == 6
