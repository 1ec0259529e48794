"""How many resets are under way, were sent in the last hour, and how large the fleets are."""

from datetime import timedelta

import pytest

from defib_core.domain.actions import Phase
from defib_core.store import execution, sweep
from defib_core.store.sweep import Traffic
from support.stored import MINUTE, SECOND, Stored

HOUR = timedelta(hours=1)
GRACE = 5 * MINUTE


async def traffic(stored: Stored) -> Traffic:
    return await sweep.traffic(stored.connection, stored.now)


async def in_flight(stored: Stored) -> int:
    return sum((await traffic(stored)).in_flight.values())


async def test_nothing_is_under_way(stored: Stored) -> None:
    await stored.down_vm()
    found = await traffic(stored)
    assert (found.in_flight, found.in_flight_on_node, found.sent_last_hour) == ({}, {}, {})


async def test_an_intent_is_in_flight_from_the_beginning(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.execute("UPDATE vm SET node = 'pve2' WHERE id = :vm", vm=vm_id)
    await stored.decide(vm_id)
    found = await traffic(stored)
    assert found.in_flight == {await stored.config_id(): 1}
    assert found.in_flight_on_node == {(await stored.cluster_id(), "pve2"): 1}


async def test_the_node_is_the_one_the_post_went_to(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.execute("UPDATE vm SET node = 'pve2' WHERE id = :vm", vm=vm_id)
    await stored.send(vm_id)
    assert (await traffic(stored)).in_flight_on_node == {(await stored.cluster_id(), "pve1"): 1}


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.UNKNOWN])
async def test_it_is_in_flight_until_the_grace_is_over(stored: Stored, phase: Phase) -> None:
    intent_id = await stored.send(await stored.down_vm())
    await stored.end(intent_id, phase)
    await stored.move(GRACE - SECOND)
    assert await in_flight(stored) == 1
    await stored.move(SECOND)
    assert await in_flight(stored) == 0


@pytest.mark.parametrize("boot_id", ["boot-1", "boot-2"])
async def test_it_is_in_flight_until_the_first_heartbeat(stored: Stored, boot_id: str) -> None:
    vm_id = await stored.down_vm()
    await stored.end(await stored.send(vm_id))
    await stored.move(SECOND)
    await stored.report(vm_id, boot_id=boot_id)
    assert await in_flight(stored) == 0


async def test_a_task_that_failed_is_not_in_flight(stored: Stored) -> None:
    await stored.end(await stored.send(await stored.down_vm()), Phase.FAILED)
    assert await in_flight(stored) == 0


async def test_a_cancelled_intent_is_neither_in_flight_nor_sent(stored: Stored) -> None:
    intent_id = await stored.ask(await stored.down_vm())
    await execution.cancel(
        stored.connection, intent_id, reason="Paused", message="x", now=stored.now
    )
    found = await traffic(stored)
    assert (found.in_flight, found.sent_last_hour) == ({}, {})


async def test_a_dry_run_is_neither_in_flight_nor_sent(stored: Stored) -> None:
    await stored.dry_run(await stored.down_vm())
    found = await traffic(stored)
    assert (found.in_flight, found.sent_last_hour) == ({}, {})


async def test_a_reset_counts_for_an_hour_whatever_came_of_it(stored: Stored) -> None:
    fleet = await stored.config_id()
    for phase in (Phase.SUCCEEDED, Phase.FAILED, Phase.UNKNOWN):
        await stored.end(await stored.send(await stored.down_vm()), phase)
    await stored.move(HOUR - SECOND)
    assert (await traffic(stored)).sent_last_hour == {fleet: 3}
    await stored.move(SECOND)
    assert (await traffic(stored)).sent_last_hour == {}


async def test_what_will_be_sent_counts_for_the_hour_already(stored: Stored) -> None:
    for _ in range(2):
        await stored.ask(await stored.down_vm())
    assert (await traffic(stored)).sent_last_hour == {await stored.config_id(): 2}


async def test_each_fleet_is_counted_for_itself(stored: Stored) -> None:
    other = await stored.configure("other")
    await stored.send(await stored.down_vm())
    await stored.send(await stored.down_vm(config="other"))
    await stored.decide(await stored.down_vm(config="other"))
    await stored.vm(config="other")
    found = await traffic(stored)
    fleet = await stored.config_id()
    assert found.in_flight == {fleet: 1, other: 2}
    assert found.sent_last_hour == {fleet: 1, other: 2}
    assert found.fleet_sizes == {fleet: 1, other: 3}


async def test_a_fleets_own_grace_counts(stored: Stored) -> None:
    await stored.configure(boot_grace_seconds=10)
    await stored.end(await stored.send(await stored.down_vm()))
    await stored.move(10 * SECOND)
    assert await in_flight(stored) == 0


async def test_who_is_not_managed_is_not_of_the_fleet(stored: Stored) -> None:
    await stored.agent_vm()
    assert (await traffic(stored)).fleet_sizes == {}
