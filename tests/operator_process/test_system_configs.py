"""Edits of a SystemConfig are in force within one sweep, and never leave a fleet without rules."""

import pytest

from defib_core.store import mirror
from defib_core.store.mirror import ObjectKey
from operator_process.test_mirroring import is_mirrored, is_tombstoned
from operator_process.world import CONFIG, VM, World
from support.waiting import eventually_async

TIMEOUT = "extract(epoch FROM s.stale_timeout)::int"


async def counts(world: World, vms: int, *, name: str = "default") -> None:
    """Wait until the status shows this number of VMs."""

    async def is_so() -> bool:
        return (await world.status(CONFIG, name)).get("vms") == vms

    await eventually_async(is_so, what=f"{name} applies to {vms} VMs")


async def test_a_change_is_in_force_within_one_sweep_and_the_status_says_so(world: World) -> None:
    await world.watched("web-0", 100)

    changed = await world.apply_config(staleTimeoutMs=45_000, cpuThreshold=5)

    await world.sweeps(1)
    assert await world.vm_row(100, f"{TIMEOUT}, s.cpu_threshold") == (45, 5.0)
    await world.health("web-0", "warning")
    ready = await world.condition("default", "Ready", "InForce", kind=CONFIG)
    assert ready["observedGeneration"] == changed["metadata"]["generation"]
    status = await world.status(CONFIG, "default")
    assert status["observedGeneration"] == changed["metadata"]["generation"]
    assert status["effective"].startswith("down after 45 s; automatic resets on, at most 3")


async def test_a_long_interval_between_sweeps_need_not_be_waited_out(world: World) -> None:
    await world.apply_config(staleCheckIntervalSeconds=3600)
    await world.sweeps(1)

    await world.apply_config(staleCheckIntervalSeconds=1)

    await world.sweeps(3)


async def test_switching_resets_off_shows_on_every_vm_and_holds(world: World) -> None:
    await world.watched("web-0", 100)
    await world.condition("web-0", "RemediationAllowed", "Allowed")

    await world.apply_config(autoResetEnabled=False)

    await world.condition("web-0", "RemediationAllowed", "AutoResetDisabled")
    world.change(100, frozen=True)
    await world.held(100, "AutoResetDisabled")
    assert world.posts(100) == []


async def test_the_number_of_vms_in_the_status_stays_right(world: World) -> None:
    await counts(world, 0)
    await world.agents.begin(100, "web-0")
    await world.apply_vm("web-1", 101)
    await counts(world, 2)

    await world.kube.delete(VM, "web-1")
    await counts(world, 1)

    await world.apply_config("careful")
    await world.kube.patch(VM, "web-0", {"spec": {"configRef": {"name": "careful"}}})
    await counts(world, 1, name="careful")
    await counts(world, 0)


async def test_numbers_written_with_a_decimal_point_are_taken(world: World) -> None:
    """JSON knows no integers; the API server takes 4000.0 for one and keeps it so."""
    await world.apply_vm("web-0", 100)

    await world.apply_config(staleTimeoutMs=4000.0)

    await is_mirrored(world, 100, TIMEOUT, 4)
    await world.condition("default", "Ready", "InForce", kind=CONFIG)


async def test_an_invalid_one_leaves_the_last_good_one_in_force(world: World) -> None:
    await world.apply_config(staleTimeoutMs=45_000)
    await world.apply_vm("web-0", 100)
    await is_mirrored(world, 100, TIMEOUT, 45)
    applied = await world.kube.get(CONFIG, "default")
    assert applied is not None

    # No manifest passes the schema and fails here, so the row is written past the API server.
    async with world.agents.engine.begin() as connection:
        (now,) = (await world.sql("SELECT defib_now()"))[0]
        key = ObjectKey(world.namespace, "default", applied["metadata"]["uid"], 7, now)
        await mirror.mirror_invalid_config(connection, key, "spec.staleTimeoutMs: nonsense")

    await world.sweeps(2)
    rows = await world.sql(
        "SELECT invalid, (spec ->> 'staleTimeoutMs')::int, observed_generation < generation"
        " FROM system_config WHERE name = 'default'"
    )
    assert rows == [("spec.staleTimeoutMs: nonsense", 45_000, True)]
    assert await world.vm_row(100, TIMEOUT) == (45,)

    await world.apply_config(staleTimeoutMs=50_000)
    await is_mirrored(world, 100, TIMEOUT, 50)
    assert await world.sql("SELECT invalid FROM system_config WHERE name = 'default'") == [(None,)]


@pytest.mark.parametrize("name", ["default", "careful"])
async def test_a_deleted_one_stays_in_force_even_over_a_restart(
    empty_world: World, name: str
) -> None:
    world = empty_world
    await world.furnish()
    await world.apply_config(name, staleTimeoutMs=45_000)
    await world.apply_vm("web-0", 100, configRef={"name": name})
    async with world.operator():
        await is_mirrored(world, 100, TIMEOUT, 45)
        await world.condition("web-0", "Ready", "Monitored")
        await world.kube.delete(CONFIG, name)

        async def forgotten() -> bool:
            rows = await world.sql("SELECT uid IS NULL FROM system_config WHERE name = %s", name)
            return rows == [(True,)]

        await eventually_async(forgotten, what="the deletion is noticed")
        await world.kube.patch(VM, "web-0", {"metadata": {"labels": {"touched": "yes"}}})
        await is_mirrored(world, 100, "v.labels ->> 'touched'", "yes")
        assert await world.vm_row(100, TIMEOUT) == (45,)

    async with world.operator():
        await world.kube.patch(VM, "web-0", {"metadata": {"labels": {"touched": "again"}}})
        await is_mirrored(world, 100, "v.labels ->> 'touched'", "again")
        assert await world.vm_row(100, f"{TIMEOUT}, v.rejected") == (45, None)
        await world.condition("web-0", "Ready", "Monitored")


async def test_one_that_nobody_names_any_more_keeps_its_vms_tombstones_out(world: World) -> None:
    await world.agents.begin(100, "web-0")
    await counts(world, 1)
    await world.health("web-0", "healthy")

    await world.kube.delete(VM, "web-0")

    await is_tombstoned(world, 100)
    await counts(world, 0)
