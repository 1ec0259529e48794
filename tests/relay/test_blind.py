"""A dead relay is blindness, not dead VMs: the real sweep and pipeline, and Proxmox's POSTs."""

from datetime import timedelta

from sqlalchemy import text

from defib_core.store import relays
from defib_core.store.relays import Said
from support.pipeline_world import Mortal, World, new_world, operate

STALE = timedelta(minutes=5)


async def dead_behind_a_relay(url: str) -> tuple[World, int]:
    """A VM that hangs, heard last an hour ago through a relay that was heard last then, too."""
    world = await new_world(url)
    await world.make_silent()
    async with world.engine.begin() as connection:
        [cluster] = (await connection.execute(text("SELECT id FROM proxmox_cluster"))).scalars()
        await relays.create(connection, "site-a", cluster)
        relay_id = int((await connection.execute(text("SELECT id FROM relay"))).scalar_one())
        await connection.execute(
            text("UPDATE relay SET proved_at = defib_now() - interval '1 hour'")
        )
        await connection.execute(text("UPDATE vm_state SET relay_id = :id"), {"id": relay_id})
    return world, relay_id


async def state(world: World) -> str:
    return str((await world.query("SELECT state FROM vm_state"))[0].state)


async def test_a_relay_that_is_gone_for_longer_than_the_timeout_resets_nobody(
    database_url: str,
) -> None:
    world, relay_id = await dead_behind_a_relay(database_url)
    await operate(world, Mortal())
    assert (await state(world), world.posts()) == ("healthy", [])

    async with world.engine.begin() as connection:
        await relays.prove(connection, relay_id, Said())
    await operate(world, Mortal())
    assert (await state(world), world.posts()) == ("healthy", [])

    # A full timeout later, in which the relay has proved itself and the VM has said nothing.
    async with world.engine.begin() as connection:
        await connection.execute(
            text("UPDATE relay_gap SET started_at = started_at - :by, ended_at = ended_at - :by"),
            {"by": STALE * 2},
        )
        await relays.prove(connection, relay_id, Said())
    await operate(world, Mortal())
    assert world.posts() == ["reset"]
    await world.engine.dispose()


async def test_one_that_was_down_before_is_held_by_name(database_url: str) -> None:
    world, _ = await dead_behind_a_relay(database_url)
    async with world.engine.begin() as connection:
        await connection.execute(
            text("UPDATE vm_state SET state = 'down', alive_since = NULL, state_since = now()")
        )
    await operate(world, Mortal())
    holds = await world.query("SELECT reason, message FROM hold WHERE ended_at IS NULL")
    assert [one.reason for one in holds] == ["RelayBlind"]
    assert "site-a" in holds[0].message
    assert world.posts() == []
    await world.engine.dispose()
