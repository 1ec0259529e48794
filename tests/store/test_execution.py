"""Carrying an intent out: each POST is claimed once, under the epoch in force, and recorded."""

from datetime import timedelta

import pytest

from defib_core.domain.actions import Action, Phase, PowerStep, Source
from defib_core.store import execution
from defib_core.store.execution import Claim, Place, Step
from support.stored import MINUTE, SECOND, Stored


async def claim(stored: Stored, intent_id: int, *, seq: int = 1, epoch: int = 1) -> bool:
    wanted = Claim(intent_id, seq, PowerStep.RESET, Action.RESET, "pve1")
    return await execution.claim(stored.connection, wanted, epoch=epoch, now=stored.now)


async def test_a_claim_makes_the_intent_a_sending_one_and_counts_the_attempt(
    stored: Stored,
) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.ask(vm_id)
    await stored.move(SECOND)
    assert await stored.claim(intent_id, action=Action.STOP_START)
    row, state = await stored.intent(intent_id), await stored.state(vm_id)
    assert (row.phase, row.action, row.node) == ("sending", "StopStart", "pve1")
    assert (row.epoch, row.sent_at) == (1, stored.now)
    assert (state.reset_attempts, state.last_attempt_at, state.reset_pending) == (
        1,
        stored.now,
        True,
    )
    [found] = await execution.unfinished(stored.connection)
    assert found.steps == (Step(1, PowerStep.STOP, Phase.SENDING, "pve1", None, stored.now, None),)


async def test_a_post_is_claimed_once(stored: Stored) -> None:
    intent_id = await stored.ask(await stored.down_vm())
    assert await stored.claim(intent_id)
    assert not await stored.claim(intent_id)
    assert not await stored.claim(intent_id, epoch=2)


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.FAILED, Phase.UNKNOWN])
async def test_an_intent_that_has_ended_is_not_claimed(stored: Stored, phase: Phase) -> None:
    intent_id = await stored.send(await stored.down_vm())
    await stored.end(intent_id, phase)
    assert not await stored.claim(intent_id)
    assert not await stored.claim(intent_id, seq=2, action=Action.STOP_START)


async def test_a_cancelled_intent_is_not_claimed(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.ask(vm_id)
    await cancel(stored, intent_id)
    assert not await stored.claim(intent_id)
    assert (await stored.state(vm_id)).reset_attempts == 0


# epochs


async def test_without_a_leader_nothing_is_claimed(stored: Stored) -> None:
    assert not await claim(stored, await stored.ask(await stored.down_vm()))


@pytest.mark.parametrize("epoch", [0, 1, 3])
async def test_another_epoch_than_the_one_in_force_claims_nothing(
    stored: Stored, epoch: int
) -> None:
    intent_id = await stored.ask(await stored.down_vm())
    await stored.lead(2)
    assert not await claim(stored, intent_id, epoch=epoch)
    assert await claim(stored, intent_id, epoch=2)


async def test_an_epoch_that_has_run_out_claims_nothing(stored: Stored) -> None:
    intent_id = await stored.ask(await stored.down_vm())
    await stored.lead(1)
    await stored.move(timedelta(hours=1))
    assert not await claim(stored, intent_id)


# heartbeats since the intent


async def test_the_sweeps_intent_is_not_claimed_after_a_heartbeat(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.decide(vm_id)
    assert intent_id is not None
    await stored.move(SECOND)
    await stored.report(vm_id)
    assert not await stored.claim(intent_id)
    assert (await stored.intent(intent_id)).phase == "requested"
    assert (await stored.state(vm_id)).reset_attempts == 0


async def test_a_persons_intent_is_claimed_all_the_same(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.ask(vm_id)
    await stored.move(SECOND)
    await stored.report(vm_id)
    assert await stored.claim(intent_id)


async def test_a_vm_that_never_reported_can_be_reset_by_hand(stored: Stored) -> None:
    assert await stored.claim(await stored.ask(await stored.vm()))


async def test_a_heartbeat_between_stop_and_start_does_not_leave_it_stopped(
    stored: Stored,
) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.decide(vm_id)
    assert intent_id is not None
    assert await stored.claim(intent_id, action=Action.STOP_START)
    await execution.record_sent(stored.connection, intent_id, 1, "UPID:stop", {})
    await stored.move(SECOND)
    await stored.report(vm_id)
    await stored.end_step(intent_id)
    assert await stored.claim(intent_id, seq=2, action=Action.STOP_START)


# two posts


async def test_the_second_post_is_the_same_attempt(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id, Action.STOP_START)
    first_sent = stored.now
    await stored.end_step(intent_id)
    await stored.move(SECOND)
    assert await stored.claim(intent_id, seq=2, action=Action.STOP_START)
    state, row = await stored.state(vm_id), await stored.intent(intent_id)
    assert (state.reset_attempts, state.last_attempt_at) == (1, first_sent)
    assert (row.phase, row.sent_at) == ("sending", first_sent)
    [found] = await execution.unfinished(stored.connection)
    assert [(step.seq, step.step, step.phase) for step in found.steps] == [
        (1, PowerStep.STOP, Phase.SUCCEEDED),
        (2, PowerStep.START, Phase.SENDING),
    ]


async def test_the_second_post_waits_for_the_first_ones_answer(stored: Stored) -> None:
    intent_id = await stored.ask(await stored.down_vm())
    assert not await stored.claim(intent_id, seq=2, action=Action.STOP_START)
    assert await stored.claim(intent_id, action=Action.STOP_START)
    assert not await stored.claim(intent_id, seq=2, action=Action.STOP_START)


async def test_another_leader_goes_on_with_the_second_post(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id, Action.STOP_START)
    await stored.end_step(intent_id)
    assert await stored.claim(intent_id, seq=2, action=Action.STOP_START, epoch=2)
    assert (await stored.intent(intent_id)).epoch == 2


# answers and ends


async def test_proxmoxs_answer_is_kept(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.ask(vm_id)
    await stored.claim(intent_id)
    await execution.record_sent(stored.connection, intent_id, 1, "UPID:a", {"upid": "UPID:a"})
    row = await stored.intent(intent_id)
    assert (row.phase, row.upid, row.proxmox_response) == ("sent", "UPID:a", {"upid": "UPID:a"})
    [found] = await execution.unfinished(stored.connection)
    assert (found.steps[0].phase, found.steps[0].upid) == (Phase.SENT, "UPID:a")
    assert await execution.known_upids(stored.connection, vm_id) == {"UPID:a"}


async def test_an_answer_without_a_task_keeps_what_was_known(stored: Stored) -> None:
    intent_id = await stored.ask(await stored.down_vm())
    await stored.claim(intent_id)
    await execution.record_sent(stored.connection, intent_id, 1, None, None)
    row = await stored.intent(intent_id)
    assert (row.phase, row.upid, row.proxmox_response) == ("sent", None, None)


async def test_an_answer_that_comes_after_the_end_changes_nothing(stored: Stored) -> None:
    intent_id = await stored.send(await stored.down_vm())
    await stored.end(intent_id, Phase.UNKNOWN)
    await execution.record_sent(stored.connection, intent_id, 1, "UPID:late", {"late": True})
    row = await stored.intent(intent_id)
    assert (row.phase, row.upid) == ("unknown", f"UPID:{intent_id}")


@pytest.mark.parametrize(
    ("phase", "error", "pending"),
    [
        (Phase.SUCCEEDED, None, True),
        (Phase.FAILED, "can't lock file", False),
        (Phase.UNKNOWN, "no task was found", True),
    ],
)
async def test_an_end_is_kept_with_its_words(
    stored: Stored, phase: Phase, error: str | None, *, pending: bool
) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id)
    await stored.move(MINUTE)
    await execution.finish(
        stored.connection,
        intent_id,
        phase=phase,
        error=error,
        response={"exitstatus": error or "OK"},
        now=stored.now,
    )
    row = await stored.intent(intent_id)
    assert (row.phase, row.error, row.finished_at) == (phase, error, stored.now)
    assert row.proxmox_response == {"exitstatus": error or "OK"}
    assert (await stored.state(vm_id)).reset_pending is pending
    assert await execution.unfinished(stored.connection) == []


async def test_an_intent_ends_once(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id)
    ended = stored.now
    await stored.end(intent_id)
    await stored.move(MINUTE)
    await stored.end(intent_id, Phase.FAILED)
    row = await stored.intent(intent_id)
    assert (row.phase, row.finished_at) == ("succeeded", ended)
    assert (await stored.state(vm_id)).reset_pending


async def test_a_post_that_ended_keeps_its_words(stored: Stored) -> None:
    intent_id = await stored.send(await stored.down_vm(), Action.STOP_START)
    await execution.finish_step(
        stored.connection, intent_id, 1, phase=Phase.FAILED, result="VM is locked", now=stored.now
    )
    [found] = await execution.unfinished(stored.connection)
    assert (found.steps[0].phase, found.steps[0].result) == (Phase.FAILED, "VM is locked")


async def cancel(stored: Stored, intent_id: int) -> None:
    await execution.cancel(
        stored.connection, intent_id, reason="VMLocked", message="locked", now=stored.now
    )


async def test_an_intent_that_was_not_sent_can_be_cancelled(stored: Stored) -> None:
    intent_id = await stored.ask(await stored.down_vm())
    await cancel(stored, intent_id)
    row = await stored.intent(intent_id)
    assert (row.phase, row.cancelled_by, row.error) == ("cancelled", "VMLocked", "locked")
    assert row.finished_at == stored.now


async def test_what_is_being_sent_is_not_cancelled(stored: Stored) -> None:
    intent_id = await stored.send(await stored.down_vm())
    await cancel(stored, intent_id)
    assert (await stored.intent(intent_id)).phase == "sent"


# reading


async def test_unfinished_intents_are_read_whole_the_oldest_first(stored: Stored) -> None:
    vms = [await stored.down_vm() for _ in range(3)]
    first = await stored.ask(vms[0], source=Source.ANNOTATION, forced=True, reason="why")
    second = await stored.send(vms[1])
    await stored.end(await stored.send(vms[2]))
    found = await execution.unfinished(stored.connection)
    assert [one.id for one in found] == [first, second]
    assert (found[0].vm_id, found[0].phase, found[0].steps) == (vms[0], Phase.REQUESTED, ())
    assert (found[0].source, found[0].forced, found[0].reason) == (
        Source.ANNOTATION,
        True,
        "why",
    )
    assert (found[0].attempt, found[0].epoch, found[0].requested_at) == (1, None, stored.now)
    assert found[1].steps[0].sending_at == stored.now


async def test_the_place_of_a_vm(stored: Stored) -> None:
    vm_id = await stored.vm(4711)
    assert await execution.place_of(stored.connection, vm_id) == Place(
        await stored.cluster_id(), 4711
    )


# no connection came about


async def test_what_was_never_sent_is_no_attempt_but_is_waited_after(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.ask(vm_id)
    assert await stored.claim(intent_id)
    claimed_at = stored.now
    await stored.move(SECOND)
    await execution.finish(
        stored.connection,
        intent_id,
        phase=Phase.FAILED,
        error="not sent",
        response=None,
        now=stored.now,
        unsent=True,
    )
    row, state = await stored.intent(intent_id), await stored.state(vm_id)
    assert (row.phase, row.sent_at, row.error) == ("failed", None, "not sent")
    assert (state.reset_attempts, state.last_attempt_at) == (0, claimed_at)
    assert not state.reset_pending
