"""After a reset a copy's report is no proof; that of the machine which was reset is one."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from defib_core.domain.explain import explain
from defib_core.domain.explain_text import text_of
from defib_core.store import registry
from defib_core.store.clock import database_now
from defib_core.store.explain import facts_of
from defib_core.store.registry import ReportedIdentity
from support.pipeline_world import VMID, Mortal, World, new_world, operate

COPY = "7d1f0a52-9a3e-4c57-8f0e-3f2f2f7c9b11"


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A VM whose SMBIOS UUID is pinned."""
    made = await new_world(database_url)
    async with made.engine.begin() as connection:
        pin = text("UPDATE vm SET pinned_uuid = CAST(:uuid AS uuid)")
        await connection.execute(pin, {"uuid": own_uuid(made)})
    yield made
    await made.engine.dispose()


def own_uuid(world: World) -> str:
    return world.dc.guests[VMID].uuid


async def report(world: World, uuid: str | None, boot_id: str) -> None:
    """Report as this VM, with what the machine says of itself."""
    async with world.engine.begin() as connection:
        (cluster,) = (await connection.execute(text("SELECT id FROM proxmox_cluster"))).scalars()
        said = ReportedIdentity(cluster, VMID, "web-0", None, uuid, None)
        await registry.find_or_create(connection, said)
    await world.heartbeat(boot_id)


async def is_proven(world: World) -> bool:
    (row,) = await world.query("SELECT phase, recovered_at FROM reset_history")
    assert row.phase == "succeeded"
    return row.recovered_at is not None


async def explained(world: World) -> str:
    async with world.engine.connect() as connection:
        facts = await facts_of(connection, world.vm_id, await database_now(connection))
    assert facts is not None
    return text_of(explain(facts))


async def test_a_copy_that_begins_to_report_after_the_reset_is_no_proof(world: World) -> None:
    await world.make_silent()
    await operate(world, Mortal())
    assert world.posts() == ["reset"]

    await report(world, COPY, "boot-of-the-copy")
    assert not await is_proven(world)

    await report(world, own_uuid(world), "after")
    assert await is_proven(world)
    assert "a heartbeat proved it" in await explained(world)


async def test_while_two_machines_report_nothing_is_proven_and_explain_says_so(
    world: World,
) -> None:
    for boot_id in ("before", "copy", "before", "copy"):
        await report(world, None, boot_id)
    await world.make_silent()
    await operate(world, Mortal())
    assert world.posts() == ["reset"]

    await report(world, None, "after")

    assert not await is_proven(world)
    assert "no report proves that a reset helped" in await explained(world)
