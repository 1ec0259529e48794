"""Asking for a reset: one unfinished intent a VM, and asking twice is asking once."""

from datetime import timedelta

import pytest

from defib_core.domain.actions import Action, Phase, Source
from defib_core.store import intents
from defib_core.store.intents import AlreadyAsked, AlreadyUnfinished, ManualRequest, Requested
from support.stored import MINUTE, Stored


async def ask(
    stored: Stored, vm_id: int, key: str | None = None
) -> Requested | AlreadyUnfinished | AlreadyAsked | None:
    request = ManualRequest(vm_id, Source.API, "ann", "asked for", request_key=key)
    return await intents.request_manual(stored.connection, request, stored.now)


async def test_a_request_is_written_down_as_it_was_asked(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.set(vm_id, reset_attempts=1)
    request = ManualRequest(vm_id, Source.DASHBOARD, "ann", "it hangs", forced=True)
    result = await intents.request_manual(stored.connection, request, stored.now)
    assert isinstance(result, Requested)
    row = await stored.intent(result.intent_id)
    assert (row.phase, row.source, row.actor, row.reason, row.forced) == (
        "requested",
        "dashboard",
        "ann",
        "it hangs",
        True,
    )
    assert (row.attempt, row.requested_at, row.boot_id_before) == (2, stored.now, "boot-1")
    assert (row.sent_at, row.finished_at, row.epoch) == (None, None, None)


async def test_asking_is_no_attempt(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.ask(vm_id)
    state = await stored.state(vm_id)
    assert (state.reset_attempts, state.last_attempt_at, state.reset_pending) == (0, None, False)


async def test_nobody_asks_for_a_vm_that_does_not_exist(stored: Stored) -> None:
    assert await ask(stored, 10**9) is None
    assert await ask(stored, 10**9, "key") is None


async def test_a_second_request_meets_the_first(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    first = await stored.ask(vm_id)
    assert await ask(stored, vm_id) == AlreadyUnfinished(first)


async def test_the_same_request_is_answered_with_the_same_intent(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    first = await ask(stored, vm_id, "key")
    assert isinstance(first, Requested)
    assert await ask(stored, vm_id, "key") == AlreadyAsked(first.intent_id)
    assert await ask(stored, vm_id, "another") == AlreadyUnfinished(first.intent_id)


async def test_it_is_the_same_request_for_ever(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    first = await stored.send(vm_id, request_key="key")
    await stored.end(first)
    await stored.move(timedelta(days=30))
    assert await ask(stored, vm_id, "key") == AlreadyAsked(first)
    assert isinstance(await ask(stored, vm_id, "another"), Requested)


async def test_two_vms_may_be_asked_for_with_one_key(stored: Stored) -> None:
    results = [await ask(stored, await stored.down_vm(), "key") for _ in range(2)]
    assert all(isinstance(result, Requested) for result in results)


async def test_after_an_intent_has_ended_the_next_may_be_asked_for(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.end(await stored.send(vm_id))
    assert isinstance(await ask(stored, vm_id), Requested)


# the sweep's intents


async def test_the_sweeps_intent_holds_what_it_rested_on(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent = intents.AutoIntent(vm_id, Action.STOP_START, dry_run=False, decision={"a": [1, None]})
    intent_id = await intents.create_auto(stored.connection, intent, epoch=7, now=stored.now)
    assert intent_id is not None
    row = await stored.intent(intent_id)
    assert (row.phase, row.action, row.source, row.actor, row.reason) == (
        "requested",
        "StopStart",
        "auto",
        "defib-operator",
        "Auto-reset: stale VM",
    )
    assert (row.epoch, row.decision, row.attempt) == (7, {"a": [1, None]}, 1)


async def test_a_dry_run_has_ended_when_it_is_written(stored: Stored) -> None:
    row = await stored.intent(await stored.dry_run(await stored.down_vm()))
    assert (row.phase, row.finished_at, row.sent_at) == ("dry_run", stored.now, None)


@pytest.mark.parametrize("state", ["unknown", "healthy", "warning", "reset_failed"])
async def test_the_sweep_resets_only_who_is_down(stored: Stored, state: str) -> None:
    vm_id = await stored.down_vm()
    await stored.set(vm_id, state=state)
    assert await stored.decide(vm_id) is None
    assert await stored.decide(vm_id, dry_run=True) is None


async def test_the_sweep_leaves_a_vm_alone_whose_intent_is_unfinished(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    first = await stored.ask(vm_id)
    assert await stored.decide(vm_id) is None
    await stored.claim(first)
    await stored.end(first, Phase.UNKNOWN)
    await stored.move(MINUTE)
    assert await stored.decide(vm_id) is not None
