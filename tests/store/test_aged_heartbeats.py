"""Heartbeats that were under way for a while: they count from when they were taken."""

from datetime import timedelta

from support.stored import MINUTE, SECOND, Stored


async def test_a_heartbeat_counts_from_when_it_was_taken(stored: Stored) -> None:
    vm_id = await stored.vm()
    await stored.report(vm_id, age=10.0)
    state = await stored.state(vm_id)
    assert (state.state, state.last_heartbeat) == ("healthy", stored.now - 10 * SECOND)
    assert await stored.value("SELECT at FROM vm_metric WHERE vm_id = :vm", vm=vm_id) == (
        stored.now - 10 * SECOND
    )


async def test_one_that_was_overtaken_is_history_only(stored: Stored) -> None:
    vm_id = await stored.vm()
    await stored.report(vm_id, cpu=20.0)
    before = await stored.state(vm_id)
    await stored.move(5 * SECOND)
    assert await stored.report(vm_id, cpu=99.0, age=10.0) == {vm_id}
    assert await stored.state(vm_id) == before
    assert await stored.value("SELECT count(*) FROM vm_metric WHERE vm_id = :vm", vm=vm_id) == 2


async def test_after_a_backward_jump_of_the_clock_it_is_heard_all_the_same(stored: Stored) -> None:
    vm_id = await stored.vm()
    await stored.report(vm_id)
    await stored.move(-timedelta(hours=1))
    await stored.report(vm_id, age=2.0)
    assert (await stored.state(vm_id)).last_heartbeat == stored.now - 2 * SECOND


async def test_one_from_before_the_reset_neither_proves_nor_ends_it(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent = await stored.send(vm_id)
    await stored.move(5 * SECOND)
    await stored.report(vm_id, age=20.0, boot_id="boot-2")
    assert (await stored.state(vm_id)).reset_pending
    assert (await stored.intent(intent)).recovered_at is None
    await stored.move(MINUTE)
    await stored.report(vm_id, age=2.0, boot_id="boot-2")
    assert not (await stored.state(vm_id)).reset_pending
    assert (await stored.intent(intent)).recovered_at == stored.now - 2 * SECOND


async def test_the_relay_is_remembered_until_it_reports_without(stored: Stored) -> None:
    vm_id = await stored.vm()
    await stored.report(vm_id, relay_id=7, age=1.0)
    assert (await stored.state(vm_id)).relay_id == 7
    await stored.move(SECOND)
    await stored.report(vm_id)
    assert (await stored.state(vm_id)).relay_id is None
