"""After going back from a later version: what it wrote stops nothing."""

from operator_process.world import World
from support.waiting import eventually_async


async def test_a_hold_that_only_a_later_version_knows_does_not_stop_the_sweep(
    world: World,
) -> None:
    await world.watched("web-0", 100)
    await world.proxmox_api(mode="unreachable")
    world.change(100, frozen=True, bootSeconds=1)
    await world.held(100, "ProxmoxUnreachable")

    await world.sql("UPDATE hold SET reason = 'LaterReason' WHERE ended_at IS NULL")
    await world.sql(
        "INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)"
        " SELECT vm_id, now(), 'down', 'warning', 'LaterReason' FROM vm_state LIMIT 1"
    )

    await world.sweeps(3)
    assert "LaterReason" in await world.hold_reasons(100)
    await world.proxmox_api(mode="ok")

    async def proven() -> bool:
        return await world.resets(100) == [("auto", "succeeded", True)]

    await eventually_async(proven, what="the recovery is proven", deadline_seconds=60)
    assert world.posts(100) == ["reset"]
