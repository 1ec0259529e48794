"""What people write in VirtualMachines takes effect, and ends when they take it away."""

from operator_process.world import VM, World
from support.waiting import eventually_async


async def is_mirrored(world: World, vmid: int, columns: str, *values: object) -> None:
    """Wait until the database says so."""

    async def is_so() -> bool:
        return await world.vm_row(vmid, columns) == values

    await eventually_async(is_so, what=f"{columns} of {vmid} are {values}")


async def is_tombstoned(world: World, vmid: int) -> None:
    """Wait until the operator knows that the object is gone."""
    await is_mirrored(world, vmid, "v.uid, (v.tombstoned_at IS NOT NULL)::text", None, "true")


async def test_a_manifest_is_mirrored_and_monitored(world: World) -> None:
    await world.apply_vm(
        "web-0",
        100,
        labels={"team": "storage"},
        hostname="web-0.example.com",
        overrides={"cpuThreshold": 55},
    )

    ready = await world.condition("web-0", "Ready", "Monitored")
    assert ready["status"] == "True"
    status = await world.status(VM, "web-0")
    assert status["health"] == "unknown"
    assert status["hostname"] == "web-0.example.com"
    assert status["observedGeneration"] == 1
    never = await world.condition("web-0", "Healthy", "NeverReported")
    assert never["status"] == "Unknown"
    row = await world.vm_row(100, "v.labels ->> 'team', s.cpu_threshold, v.registered_by")
    assert row == ("storage", 55.0, "manifest")


async def test_edits_and_label_changes_take_effect(world: World) -> None:
    await world.apply_vm("web-0", 100, overrides={"staleTimeoutMs": 60_000})
    await is_mirrored(world, 100, "extract(epoch FROM s.stale_timeout)::int", 60)

    await world.kube.patch(VM, "web-0", {"spec": {"overrides": {"staleTimeoutMs": 90_000}}})
    await is_mirrored(world, 100, "extract(epoch FROM s.stale_timeout)::int", 90)
    await world.condition("web-0", "Ready", "Monitored")

    await world.kube.patch(VM, "web-0", {"metadata": {"labels": {"rack": "7"}}})
    await is_mirrored(world, 100, "v.labels ->> 'rack'", "7")

    await world.kube.patch(VM, "web-0", {"spec": {"overrides": None}})
    await is_mirrored(world, 100, "extract(epoch FROM s.stale_timeout)::int", 2)

    async def observed() -> bool:
        return (await world.status(VM, "web-0")).get("observedGeneration") == 3

    await eventually_async(observed, what="the status speaks of the newest generation")


async def test_a_pause_shows_and_ends_by_itself(world: World) -> None:
    rows = await world.sql("SELECT to_char(defib_now() + interval '3 s', %s)", RFC3339)
    await world.watched("web-0", 100, paused={"reason": "disk swap", "until": rows[0][0]})

    paused = await world.condition("web-0", "RemediationAllowed", "Paused")
    assert (paused["status"], "disk swap" in paused["message"]) == ("False", True)

    allowed = await world.condition("web-0", "RemediationAllowed", "Allowed")
    assert allowed["status"] == "True"


async def test_the_guest_names_itself_where_the_manifest_does_not(world: World) -> None:
    await world.apply_vm("some-object", 100)
    await world.condition("some-object", "Ready", "Monitored")

    await world.agents.begin(100, "web-0.example.com")

    status = await world.health("some-object", "healthy")
    assert status["hostname"] == "web-0.example.com"


async def test_a_deleted_object_leaves_a_tombstone_and_nothing_is_reset(world: World) -> None:
    await world.watched("web-0", 100)

    await world.kube.delete(VM, "web-0")
    await is_tombstoned(world, 100)

    before = await world.vm_row(100, "s.reports")
    assert before is not None

    async def goes_on() -> bool:
        row = await world.vm_row(100, "s.reports, s.state")
        return row is not None and row[0] > before[0] + 1 and row[1] == "healthy"

    await eventually_async(goes_on, what="its reports are stored as ever")
    world.change(100, frozen=True)
    await is_mirrored(world, 100, "s.state", "down")
    await world.sweeps(4)
    assert world.posts(100) == []
    assert await world.resets(100) == []
    assert await world.hold_reasons(100) == []
    assert await world.kube.every(VM) == []


async def test_applying_it_again_revives_it_with_a_clock_that_starts_anew(world: World) -> None:
    await world.watched("web-0", 100)
    await world.kube.delete(VM, "web-0")
    await is_tombstoned(world, 100)
    world.change(100, frozen=True, bootSeconds=1)
    await is_mirrored(world, 100, "s.state", "down")
    (applied_at,) = (await world.sql("SELECT defib_now()"))[0]

    await world.apply_vm("web-0", 100)

    await world.condition("web-0", "Ready", "Monitored")
    await world.health("web-0", "healthy")
    (sent_at,) = (await world.sql("SELECT sent_at FROM reset_history"))[0]
    assert (sent_at - applied_at).total_seconds() >= 2
    assert world.posts(100) == ["reset"]


async def test_a_deletion_while_the_operator_was_away_is_found(empty_world: World) -> None:
    world = empty_world
    await world.furnish()
    async with world.operator():
        await world.watched("web-0", 100)
        await world.watched("web-1", 101)

    await world.kube.delete(VM, "web-0")

    async with world.operator():
        await is_tombstoned(world, 100)
        await world.condition("web-1", "Ready", "Monitored")
        await world.sweeps(2)
        names = [one["metadata"]["name"] for one in await world.kube.every(VM)]
        assert names == ["web-1"]


async def test_an_object_that_another_replaced_under_its_name_while_away_is_found(
    empty_world: World,
) -> None:
    world = empty_world
    await world.furnish()
    async with world.operator():
        await world.apply_vm("web", 100)
        await world.condition("web", "Ready", "Monitored")

    await world.kube.delete(VM, "web")
    await world.apply_vm("web", 101)

    async with world.operator():
        await world.condition("web", "Ready", "Monitored")
        await is_tombstoned(world, 100)
        await is_mirrored(world, 101, "v.name", "web")


async def test_an_object_kept_by_somebodys_finalizer_counts_as_deleted(world: World) -> None:
    await world.watched("web-0", 100)
    await world.kube.patch(VM, "web-0", {"metadata": {"finalizers": ["example.com/backup"]}})

    await world.kube.delete(VM, "web-0")

    await world.condition("web-0", "Ready", "Tombstoned")
    await is_tombstoned(world, 100)
    kept = await world.kube.get(VM, "web-0")
    assert kept is not None
    assert kept["metadata"]["finalizers"] == ["example.com/backup"]

    await world.kube.patch(VM, "web-0", {"metadata": {"finalizers": None}})

    async def is_gone() -> bool:
        return await world.kube.get(VM, "web-0") is None

    await eventually_async(is_gone, what="the object is gone")


async def test_an_object_created_while_all_are_listed_stays(empty_world: World) -> None:
    world = empty_world
    await world.furnish()
    for number in range(40):
        await world.apply_vm(f"old-{number:02}", 200 + number)

    async with world.operator(until_listed=False):
        for number in range(20):
            await world.apply_vm(f"new-{number:02}", 300 + number)
        for number in range(20):
            await world.condition(f"new-{number:02}", "Ready", "Monitored")

        await world.listed()
        rows = await world.sql("SELECT count(*) FROM vm WHERE tombstoned_at IS NOT NULL")
        assert rows == [(0,)]
        dropped = [one for one in world.logged.lines() if one["event"] == "object_deleted"]
        assert dropped == []


RFC3339 = 'YYYY-MM-DD"T"HH24:MI:SS"Z"'
