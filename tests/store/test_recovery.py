"""When a heartbeat proves that a reset helped."""

from datetime import timedelta

import pytest

from defib_core.domain.actions import Action, Phase
from defib_core.domain.decide import is_same_uuid
from defib_core.store import clones
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


# reports of another machine


UUID = "4c4c4544-0042-4b10-8057-b6c04f4d3432"
TURNED = "44454c4c-4200-104b-8057-b6c04f4d3432"
OTHER = "7d1f0a52-9a3e-4c57-8f0e-3f2f2f7c9b11"


async def test_a_boot_that_was_seen_before_the_reset_proves_nothing(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.report(vm_id, boot_id="boot-2")
    intent_id = await stored.send(vm_id)
    for boot_id in ("boot-1", "boot-1", "boot-2"):
        await stored.move(SECOND)
        await stored.report(vm_id, boot_id=boot_id)
        assert not await is_recovered(stored, intent_id)


async def test_a_report_between_the_request_and_the_post_does_not_make_its_boot_new(
    stored: Stored,
) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.ask(vm_id)
    await stored.report(vm_id, boot_id="boot-2")
    await stored.claim(intent_id)
    await stored.move(SECOND)
    await stored.report(vm_id, boot_id="boot-2")
    assert not await is_recovered(stored, intent_id)
    await stored.move(MINUTE)
    await stored.report(vm_id, boot_id="boot-3")
    assert await is_recovered(stored, intent_id)


@pytest.mark.parametrize(
    ("pinned", "reported", "proven"),
    [
        (UUID, OTHER, False),
        (UUID, UUID, True),
        (UUID, TURNED, True),
        (UUID, None, True),
        (None, OTHER, True),
    ],
)
async def test_a_report_of_a_machine_with_another_uuid_proves_nothing(
    stored: Stored, pinned: str | None, reported: str | None, *, proven: bool
) -> None:
    assert pinned is None or reported is None or is_same_uuid(pinned, reported) is proven
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id)
    await stored.execute(
        "UPDATE vm SET pinned_uuid = CAST(:pinned AS uuid), smbios_uuid = CAST(:reported AS uuid)"
        " WHERE id = :vm",
        pinned=pinned,
        reported=reported,
        vm=vm_id,
    )
    await stored.move(MINUTE)
    await stored.report(vm_id, boot_id="boot-2")
    assert await is_recovered(stored, intent_id) is proven
    assert (await stored.state(vm_id)).state == "healthy"


async def test_while_two_machines_report_no_report_proves_it(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    for boot in "abab":
        await stored.move(15 * SECOND)
        await stored.report(vm_id, boot_id=f"boot-{boot}")
    intent_id = await stored.send(vm_id)
    await stored.move(MINUTE)
    await stored.report(vm_id, boot_id="boot-c")
    assert not await is_recovered(stored, intent_id)

    await stored.move(clones.SUSPECTED_FOR)
    await clones.end_what_is_over(stored.connection, stored.now)
    await stored.report(vm_id, boot_id="boot-d")
    assert await is_recovered(stored, intent_id)


async def test_an_intent_that_was_not_sent_recovers_nobody(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.ask(vm_id)
    await stored.report(vm_id, boot_id="boot-2")
    assert not await is_recovered(stored, intent_id)
