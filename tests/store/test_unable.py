"""A guest that a look found unable to report gets a full timeout once it can again."""

import pytest

from defib_core.store import clusters, sweep, unable
from defib_core.store.clusters import Placed
from support.stored import LONG_AGO, MINUTE, Stored


async def was_unable(stored: Stored, vm_id: int) -> bool:
    found = await sweep.judged(stored.connection, vm_id, stored.now)
    assert found is not None
    return found.was_unable


async def note(stored: Stored, vm_id: int) -> None:
    await unable.note(stored.connection, [vm_id], stored.now)


async def test_a_pause_that_no_hold_has_seen_restarts_the_clock_when_it_ends(
    stored: Stored,
) -> None:
    vm_id = await stored.reporting_vm()
    await stored.move(2 * MINUTE)
    await note(stored, vm_id)
    assert await was_unable(stored, vm_id)
    resumed = await stored.move(2 * MINUTE)
    await unable.release(stored.connection, [vm_id], stored.now)
    assert (await stored.state(vm_id)).clock_floor == resumed
    assert not await was_unable(stored, vm_id)


async def test_who_was_always_able_keeps_its_clock(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.move(MINUTE)
    await unable.release(stored.connection, [vm_id], stored.now)
    assert (await stored.state(vm_id)).clock_floor == LONG_AGO


async def test_a_heartbeat_makes_it_void(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.move(MINUTE)
    await note(stored, vm_id)
    await stored.move(MINUTE)
    await stored.report(vm_id)
    await stored.move(MINUTE)
    assert not await was_unable(stored, vm_id)
    await unable.release(stored.connection, [vm_id], stored.now)
    assert (await stored.state(vm_id)).clock_floor == LONG_AGO
    await note(stored, vm_id)
    assert await was_unable(stored, vm_id)


async def test_after_a_reset_of_ours_the_wait_is_that_between_attempts(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await note(stored, vm_id)
    await stored.move(MINUTE)
    await stored.set(vm_id, last_attempt_at=stored.now)
    await stored.move(MINUTE)
    await unable.release(stored.connection, [vm_id], stored.now)
    assert (await stored.state(vm_id)).clock_floor == LONG_AGO


@pytest.mark.parametrize("act", [unable.note, unable.release])
async def test_nobody_is_no_statement(stored: Stored, act: object) -> None:
    assert callable(act)
    await act(stored.connection, [], stored.now)


async def test_what_the_list_released_starts_no_clock_a_second_time(stored: Stored) -> None:
    vm_id = await stored.reporting_vm(vmid=100)
    await stored.execute("UPDATE vm SET proxmox_busy = true WHERE id = :vm", vm=vm_id)
    await stored.move(2 * MINUTE)
    await note(stored, vm_id)
    released = await stored.move(MINUTE)
    seen = Placed(100, "pve1", is_qemu=True, state="running", busy=False)
    await clusters.place(stored.connection, await stored.cluster_id(), [seen], stored.now)
    await stored.move(MINUTE)
    assert not await was_unable(stored, vm_id)
    await unable.release(stored.connection, [vm_id], stored.now)
    assert (await stored.state(vm_id)).clock_floor == released
