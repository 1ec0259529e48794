"""Objects that cannot be in force say why, and take effect once they can."""

from operator_process.test_mirroring import is_mirrored
from operator_process.world import VM, World
from support.waiting import eventually_async


async def test_of_two_objects_for_one_vm_the_younger_is_refused_and_takes_over_later(
    world: World,
) -> None:
    await world.watched("first", 100, overrides={"cpuThreshold": 40})
    (older,) = (await world.sql("SELECT object_created_at FROM vm"))[0]

    async def a_second_has_passed() -> bool:
        rows = await world.sql("SELECT defib_now() > %s + interval '1.1 s'", older)
        return bool(rows[0][0])

    await eventually_async(a_second_has_passed, what="creation times differ")
    await world.apply_vm("second", 100, overrides={"cpuThreshold": 60})

    refused = await world.condition("second", "Ready", "Conflict")
    assert refused["status"] == "False"
    assert f"{world.namespace}/first" in refused["message"]
    assert "health" not in await world.status(VM, "second")
    await world.condition("second", "Healthy", "NotMonitored")
    await is_mirrored(world, 100, "v.name, s.cpu_threshold", "first", 40.0)

    await world.kube.delete(VM, "first")

    await world.condition("second", "Ready", "Monitored")
    await world.health("second", "healthy")
    await is_mirrored(world, 100, "v.name, s.cpu_threshold", "second", 60.0)


async def test_an_older_object_that_comes_to_light_later_displaces_the_younger(
    empty_world: World,
) -> None:
    world = empty_world
    await world.furnish()
    await world.apply_vm("z-older", 100)

    async def a_second_has_passed() -> bool:
        found = await world.kube.get(VM, "z-older")
        assert found is not None
        created = found["metadata"]["creationTimestamp"]
        rows = await world.sql("SELECT defib_now() > %s::timestamptz + interval '1.1 s'", created)
        return bool(rows[0][0])

    await eventually_async(a_second_has_passed, what="creation times differ")
    await world.apply_vm("a-younger", 100)

    async with world.operator():
        await world.condition("z-older", "Ready", "Monitored")
        refused = await world.condition("a-younger", "Ready", "Conflict")
        assert "z-older" in refused["message"]
        assert "health" not in await world.status(VM, "a-younger")
        await is_mirrored(world, 100, "v.name", "z-older")


async def test_a_timeout_too_short_for_its_system_config_is_refused_until_that_allows_it(
    world: World,
) -> None:
    await world.apply_vm("web-0", 100, overrides={"staleTimeoutMs": 1500})

    refused = await world.condition("web-0", "Ready", "InvalidSpec")
    assert refused["status"] == "False"
    assert "spec.overrides.staleTimeoutMs: 1500 ms is shorter" in refused["message"]
    assert "acknowledgeRisk" in refused["message"]
    allowed = await world.condition("web-0", "RemediationAllowed", "InvalidSpec")
    assert allowed["status"] == "False"

    await world.apply_config(acknowledgeRisk=True)
    await world.condition("web-0", "Ready", "Monitored")

    await world.apply_config()
    await world.condition("web-0", "Ready", "InvalidSpec")

    await world.apply_vm("web-0", 100)
    await world.condition("web-0", "Ready", "Monitored")


async def test_a_container_is_refused_and_never_reset(world: World) -> None:
    world.proxmox.guest(100, "box-0", kind="lxc")
    await world.apply_vm("box-0", 100)

    refused = await world.condition("box-0", "Ready", "NotQemu")

    assert refused["status"] == "False"
    assert "container" in refused["message"]
    await world.agents.begin(100, "box-0")
    world.agents.silence(100)
    await is_mirrored(world, 100, "s.state", "down")
    await world.sweeps(3)
    assert world.posts(100) == []
    assert await world.resets(100) == []


async def test_a_vm_waits_for_the_system_config_it_names(world: World) -> None:
    await world.apply_vm("web-0", 100, configRef={"name": "careful"})

    refused = await world.condition("web-0", "Ready", "ConfigNotFound")
    assert "careful" in refused["message"]

    await world.apply_config("careful", staleTimeoutMs=7000)

    await world.condition("web-0", "Ready", "Monitored")
    await is_mirrored(world, 100, "extract(epoch FROM s.stale_timeout)::int", 7)


async def test_a_vm_waits_for_the_cluster_it_names_and_notices_when_that_goes(
    world: World,
) -> None:
    await world.apply_vm("web-0", 100, clusterRef={"name": "berlin"})

    refused = await world.condition("web-0", "Ready", "ClusterNotFound")
    assert "berlin" in refused["message"]

    await world.apply_cluster("berlin")
    await world.condition("web-0", "Ready", "Monitored")

    await world.kube.delete("ProxmoxCluster", "berlin")
    await world.condition("web-0", "Ready", "ClusterNotFound")
