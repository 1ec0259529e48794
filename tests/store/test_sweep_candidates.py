"""What the decision is told of a VM's past and surroundings."""

import pytest

from defib_core.domain.actions import Action, Phase
from defib_core.domain.states import State
from defib_core.store import clusters, sweep
from defib_core.store.sweep import Candidate
from support.stored import LONG_AGO, MINUTE, SECOND, Stored


async def candidates(stored: Stored) -> list[int]:
    return [one.vm_id for one in await sweep.candidates(stored.connection, stored.now)]


async def facts(stored: Stored, vm_id: int) -> Candidate:
    found = await sweep.judged(stored.connection, vm_id, stored.now)
    assert found is not None
    return found


async def test_those_that_are_down_or_given_up_are_candidates(stored: Stored) -> None:
    await stored.reporting_vm()
    await stored.vm()
    down = await stored.down_vm()
    given_up = await stored.down_vm()
    await stored.set(given_up, state="reset_failed")
    assert await candidates(stored) == [down, given_up]


async def test_only_the_ids_that_are_asked_for(stored: Stored) -> None:
    down = [await stored.down_vm() for _ in range(3)]
    some = await sweep.candidates(stored.connection, stored.now, [down[2], down[0]])
    assert [one.vm_id for one in some] == [down[0], down[2]]
    assert await sweep.candidates(stored.connection, stored.now, []) == []


@pytest.mark.parametrize(
    "change",
    [
        "uid = NULL, namespace = NULL, name = NULL",
        "uid = NULL, namespace = NULL, name = NULL, tombstoned_at = defib_now()",
        "rejected = 'NotQemu'",
        "rejected = 'InvalidSpec'",
    ],
)
async def test_who_is_not_managed_is_neither_swept_nor_reset_by_hand(
    stored: Stored, change: str
) -> None:
    vm_id = await stored.down_vm()
    await stored.execute(f"UPDATE vm SET {change} WHERE id = :vm", vm=vm_id)
    assert await candidates(stored) == []
    assert await sweep.judged(stored.connection, vm_id, stored.now) is None


async def test_a_person_may_ask_for_a_vm_in_any_state(stored: Stored) -> None:
    vm_id = await stored.vm()
    assert (await facts(stored, vm_id)).state is State.UNKNOWN
    await stored.report(vm_id)
    assert (await facts(stored, vm_id)).state is State.HEALTHY


async def test_the_spec_is_told_as_it_is_in_force(stored: Stored) -> None:
    vm_id = await stored.down_vm(
        hostname="web-01",
        proxmox_name="prod-web",
        stale_timeout=2 * MINUTE,
        max_attempts=7,
        enabled=False,
        steps=("StopStart",),
        paused_reason="patching",
        paused_until=stored.now,
        labels={"rack": "r1"},
    )
    uuid = "4c4c4544-0042-3510-8052-b4c04f4e4d32"
    await clusters.pin(stored.connection, vm_id, uuid)
    one = await facts(stored, vm_id)
    assert (one.hostname, one.proxmox_name, one.pinned_uuid) == ("web-01", "prod-web", uuid)
    assert (one.stale_timeout, one.max_attempts, one.steps) == (
        2 * MINUTE,
        7,
        (Action.STOP_START,),
    )
    assert (one.remediation_enabled, one.paused_reason, one.paused_until) == (
        False,
        "patching",
        stored.now,
    )
    assert (one.labels, one.reports) == ({"rack": "r1"}, 11)


async def test_the_clock_does_not_begin_before_the_vm_was_managed(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    assert (await facts(stored, vm_id)).clock_floor == LONG_AGO
    await stored.execute("UPDATE vm SET managed_at = defib_now() WHERE id = :vm", vm=vm_id)
    assert (await facts(stored, vm_id)).clock_floor == stored.now


# what was done before


async def test_an_intent_is_unfinished_until_it_has_ended(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    assert not (await facts(stored, vm_id)).unfinished
    intent_id = await stored.send(vm_id)
    assert (await facts(stored, vm_id)).unfinished
    await stored.end(intent_id)
    assert not (await facts(stored, vm_id)).unfinished


async def test_a_dry_run_is_done_until_the_next_heartbeat(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.dry_run(vm_id)
    assert (await facts(stored, vm_id)).dry_run_done
    await stored.move(SECOND)
    await stored.report(vm_id)
    assert not (await facts(stored, vm_id)).dry_run_done


@pytest.mark.parametrize(
    ("phase", "resumed"),
    [(Phase.SUCCEEDED, True), (Phase.UNKNOWN, True), (Phase.FAILED, False)],
)
async def test_an_io_error_was_resumed_unless_the_resume_failed(
    stored: Stored, phase: Phase, *, resumed: bool
) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id, Action.RESUME)
    await stored.end(intent_id, phase)
    assert (await facts(stored, vm_id)).resumed_io_error is resumed


async def test_a_resume_of_an_earlier_incident_does_not_count(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.end(await stored.send(vm_id, Action.RESUME))
    await stored.move(SECOND)
    await stored.report(vm_id)
    assert not (await facts(stored, vm_id)).resumed_io_error


async def stopped_by_us(stored: Stored) -> tuple[int, int]:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id, Action.STOP_START)
    await stored.end_step(intent_id)
    return vm_id, intent_id


async def test_a_start_is_owed_once_our_stop_has_succeeded(stored: Stored) -> None:
    vm_id, _ = await stopped_by_us(stored)
    assert (await facts(stored, vm_id)).owes_start


@pytest.mark.parametrize(
    ("phase", "owes"), [(Phase.SUCCEEDED, False), (Phase.FAILED, True), (Phase.UNKNOWN, True)]
)
async def test_a_start_is_owed_until_it_has_succeeded(
    stored: Stored, phase: Phase, *, owes: bool
) -> None:
    vm_id, intent_id = await stopped_by_us(stored)
    assert await stored.claim(intent_id, seq=2, action=Action.STOP_START)
    assert (await facts(stored, vm_id)).owes_start
    await stored.end(intent_id, phase, seq=2)
    assert (await facts(stored, vm_id)).owes_start is owes


async def test_no_start_is_owed_where_the_stop_failed(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.end(await stored.send(vm_id, Action.STOP_START), Phase.FAILED)
    assert not (await facts(stored, vm_id)).owes_start


async def test_no_start_is_owed_to_a_guest_that_reported(stored: Stored) -> None:
    vm_id, intent_id = await stopped_by_us(stored)
    await stored.end(intent_id, Phase.UNKNOWN)
    await stored.move(SECOND)
    await stored.report(vm_id, boot_id="boot-1")
    assert not (await facts(stored, vm_id)).owes_start


async def test_no_start_is_owed_after_a_later_reset(stored: Stored) -> None:
    vm_id, intent_id = await stopped_by_us(stored)
    await stored.end(intent_id, Phase.UNKNOWN)
    await stored.move(SECOND)
    await stored.end(await stored.send(vm_id))
    assert not (await facts(stored, vm_id)).owes_start


async def test_a_vm_that_never_reported_has_no_incident(stored: Stored) -> None:
    vm_id = await stored.vm()
    await stored.end(await stored.send(vm_id, Action.RESUME))
    one = await facts(stored, vm_id)
    assert (one.owes_start, one.resumed_io_error, one.dry_run_done) == (False, False, False)
