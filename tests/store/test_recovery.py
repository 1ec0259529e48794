"""When a heartbeat proves that a reset helped."""

from datetime import timedelta

import pytest

from defib_core.domain.actions import Action, Phase
from support.stored import MINUTE, SECOND, Stored


async def is_recovered(stored: Stored, intent_id: int) -> bool:
    return (await stored.intent(intent_id)).recovered_at is not None


async def test_a_heartbeat_with_a_new_boot_id_proves_it(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id)
    await stored.end(intent_id)
    assert (await stored.state(vm_id)).reset_pending
    await stored.move(MINUTE)
    await stored.report(vm_id, boot_id="boot-2")
    assert (await stored.intent(intent_id)).recovered_at == stored.now
    assert not (await stored.state(vm_id)).reset_pending


async def test_a_heartbeat_of_the_old_boot_proves_nothing(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id)
    await stored.move(SECOND)
    await stored.report(vm_id, boot_id="boot-1")
    assert not await is_recovered(stored, intent_id)
    assert not (await stored.state(vm_id)).reset_pending


async def test_the_new_boot_proves_it_though_a_late_report_of_the_old_came_first(
    stored: Stored,
) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id)
    await stored.move(SECOND)
    await stored.report(vm_id, boot_id="boot-1")
    await stored.move(MINUTE)
    await stored.report(vm_id, boot_id="boot-2")
    assert (await stored.intent(intent_id)).recovered_at == stored.now


async def test_a_reboot_of_another_day_is_not_the_resets_doing(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id)
    await stored.end(intent_id)
    await stored.report(vm_id, boot_id="boot-1")
    await stored.move(timedelta(days=1))
    await stored.report(vm_id, boot_id="boot-2")
    assert not await is_recovered(stored, intent_id)


async def test_a_guest_that_comes_back_late_is_recovered_all_the_same(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id)
    await stored.end(intent_id)
    await stored.move(timedelta(days=1))
    await stored.report(vm_id, boot_id="boot-2")
    assert await is_recovered(stored, intent_id)


@pytest.mark.parametrize(("before", "after"), [(None, "boot-2"), ("boot-1", None), (None, None)])
async def test_without_boot_ids_any_heartbeat_proves_it(
    stored: Stored, before: str | None, after: str | None
) -> None:
    vm_id = await stored.down_vm()
    await stored.set(vm_id, boot_id=before)
    intent_id = await stored.send(vm_id)
    await stored.move(MINUTE)
    await stored.report(vm_id, boot_id=after)
    assert await is_recovered(stored, intent_id)


async def test_a_resume_boots_nothing_so_the_old_boot_proves_it(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id, Action.RESUME)
    await stored.move(SECOND)
    await stored.report(vm_id, boot_id="boot-1")
    assert await is_recovered(stored, intent_id)


async def test_a_reset_that_failed_recovered_nobody(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id)
    await stored.end(intent_id, Phase.FAILED)
    assert not (await stored.state(vm_id)).reset_pending
    await stored.move(MINUTE)
    await stored.report(vm_id, boot_id="boot-2")
    assert not await is_recovered(stored, intent_id)


async def test_of_two_resets_the_last_is_the_one_that_helped(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    first = await stored.send(vm_id)
    await stored.end(first, Phase.UNKNOWN)
    await stored.move(10 * MINUTE)
    second = await stored.send(vm_id)
    await stored.end(second)
    await stored.move(MINUTE)
    await stored.report(vm_id, boot_id="boot-2")
    assert not await is_recovered(stored, first)
    assert await is_recovered(stored, second)


async def test_an_intent_that_was_not_sent_recovers_nobody(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.ask(vm_id)
    await stored.report(vm_id, boot_id="boot-2")
    assert not await is_recovered(stored, intent_id)
