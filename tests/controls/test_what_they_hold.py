"""While a control is in force its reason holds, and after it each VM has one more full timeout."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from controls.judged import (
    MOMENT,
    assert_held,
    assert_one_more_full_timeout,
    sweep_once,
    verdict_on,
)
from defib_core.config.system_config import GlobalStopSpec, MaintenanceSpec
from defib_core.domain.actions import Source
from defib_core.domain.decide import Hold, Look
from defib_core.domain.reasons import HoldReason
from defib_core.domain.states import State
from defib_core.store import controls
from defib_core.store.controls import Who, WindowWish
from support.stored import MINUTE, SECOND, STALE_TIMEOUT, Stored

KIM = Who("kim", Source.API)
HOUR = timedelta(hours=1)
RACK = {"rack": "r7"}

Step = Callable[[Stored, int], Awaitable[None]]


def in_an_hour(stored: Stored) -> WindowWish:
    return WindowWish("firmware", RACK, "Kim: firmware", stored.now, stored.now + HOUR)


def window_spec(stored: Stored, **changes: Any) -> MaintenanceSpec:  # noqa: ANN401
    given = {
        "name": "firmware",
        "match_labels": RACK,
        "starts_at": stored.now,
        "ends_at": stored.now + HOUR,
        "reason": "Kim: firmware",
    }
    return MaintenanceSpec(**(given | changes))


async def mirror(stored: Stored, vm_id: int, **changes: Any) -> None:  # noqa: ANN401
    record = await stored.record(vm_id)
    await stored.vm(**{"vmid": record.vmid, "labels": RACK} | changes)


# begin, and end, each control by each way


async def pause_by_hand(stored: Stored, vm_id: int) -> None:
    assert await controls.pause(stored.connection, KIM, vm_id, "disk", None, stored.now)


async def pause_for_an_hour(stored: Stored, vm_id: int) -> None:
    until = stored.now + HOUR
    assert await controls.pause(stored.connection, KIM, vm_id, "disk", until, stored.now)


async def unpause(stored: Stored, vm_id: int) -> None:
    assert await controls.unpause(stored.connection, KIM, vm_id, stored.now)


async def pause_in_the_spec(stored: Stored, vm_id: int) -> None:
    await mirror(stored, vm_id, paused_reason="disk")


async def pause_in_the_spec_for_an_hour(stored: Stored, vm_id: int) -> None:
    await mirror(stored, vm_id, paused_reason="disk", paused_until=stored.now + HOUR)


async def unpause_in_the_spec(stored: Stored, vm_id: int) -> None:
    await mirror(stored, vm_id)


async def open_by_hand(stored: Stored, _: int) -> None:
    await controls.open_window(stored.connection, KIM, in_an_hour(stored), stored.now)


async def close_by_hand(stored: Stored, _: int) -> None:
    (window,) = await controls.windows(stored.connection)
    assert await controls.close_window(stored.connection, KIM, window.id, stored.now)


async def open_in_the_spec(stored: Stored, _: int) -> None:
    await stored.configure(maintenance=(window_spec(stored),))


async def close_in_the_spec(stored: Stored, _: int) -> None:
    await stored.configure(maintenance=())


async def relabel(stored: Stored, vm_id: int) -> None:
    await mirror(stored, vm_id, labels={"rack": "r8"})


async def select_others(stored: Stored, _: int) -> None:
    others = window_spec(stored, match_labels={"rack": "r8"}, ends_at=stored.now + HOUR)
    await stored.configure(maintenance=(others,))


async def stop_by_hand(stored: Stored, _: int) -> None:
    assert await controls.begin_global_stop(stored.connection, KIM, "storage", stored.now)


async def go_by_hand(stored: Stored, _: int) -> None:
    assert await controls.end_global_stop(stored.connection, KIM, stored.now)


async def stop_in_a_spec(stored: Stored, _: int) -> None:
    await stored.configure("another", global_stop=GlobalStopSpec(reason="storage"))


async def go_in_the_spec(stored: Stored, _: int) -> None:
    await stored.configure("another")


async def an_hour_passes(stored: Stored, _: int) -> None:
    await stored.move(HOUR - MOMENT)
    await sweep_once(stored)
    assert isinstance(await verdict_on(stored, _), Hold)
    await stored.move(MOMENT)


WAYS = [
    (HoldReason.PAUSED, pause_by_hand, unpause),
    (HoldReason.PAUSED, pause_for_an_hour, unpause),
    (HoldReason.PAUSED, pause_for_an_hour, an_hour_passes),
    (HoldReason.PAUSED, pause_in_the_spec, unpause_in_the_spec),
    (HoldReason.PAUSED, pause_in_the_spec_for_an_hour, an_hour_passes),
    (HoldReason.MAINTENANCE, open_by_hand, close_by_hand),
    (HoldReason.MAINTENANCE, open_by_hand, an_hour_passes),
    (HoldReason.MAINTENANCE, open_by_hand, relabel),
    (HoldReason.MAINTENANCE, open_in_the_spec, close_in_the_spec),
    (HoldReason.MAINTENANCE, open_in_the_spec, an_hour_passes),
    (HoldReason.MAINTENANCE, open_in_the_spec, select_others),
    (HoldReason.GLOBAL_STOP, stop_by_hand, go_by_hand),
    (HoldReason.GLOBAL_STOP, stop_in_a_spec, go_in_the_spec),
]


@pytest.mark.parametrize(
    ("reason", "begin", "end"), WAYS, ids=lambda one: getattr(one, "__name__", str(one))
)
async def test_it_holds_and_leaves_one_more_full_timeout(
    stored: Stored, reason: HoldReason, begin: Step, end: Step
) -> None:
    await stored.configure()
    vm_id = await stored.down_vm(labels=RACK)
    assert isinstance(await verdict_on(stored, vm_id), Look), "else the control changes nothing"

    await begin(stored, vm_id)
    await assert_held(stored, vm_id, reason)
    await stored.move(3 * STALE_TIMEOUT)
    await sweep_once(stored)
    await assert_held(stored, vm_id, reason)

    if end is an_hour_passes:
        await stored.move(-3 * STALE_TIMEOUT)
    await end(stored, vm_id)
    await assert_one_more_full_timeout(stored, vm_id)


@pytest.mark.parametrize(
    ("reason", "begin", "end"), WAYS, ids=lambda one: getattr(one, "__name__", str(one))
)
async def test_its_hold_ends_with_it(
    stored: Stored, reason: HoldReason, begin: Step, end: Step
) -> None:
    await stored.configure()
    vm_id = await stored.down_vm(labels=RACK)
    await begin(stored, vm_id)
    await stored.execute(
        "INSERT INTO hold (vm_id, reason, message, started_at)"
        " VALUES (:vm, :reason, 'x', defib_now())",
        vm=vm_id,
        reason=reason.value,
    )
    await sweep_once(stored)
    assert (await stored.holds(vm_id))[0][2] is None

    if end is not an_hour_passes:
        await stored.move(MINUTE)
    await end(stored, vm_id)
    await sweep_once(stored)

    ended = (await stored.holds(vm_id))[0][2]
    assert ended is not None
    assert ended <= stored.now


async def test_the_word_that_it_shuts_down_is_maintenance_for_ten_minutes(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.report(vm_id, status="stopping")
    await stored.move(STALE_TIMEOUT + SECOND)
    await sweep_once(stored)
    assert (await stored.state(vm_id)).state == State.DOWN
    await assert_held(stored, vm_id, HoldReason.MAINTENANCE)

    await stored.move(10 * MINUTE - STALE_TIMEOUT - 2 * SECOND)
    await assert_held(stored, vm_id, HoldReason.MAINTENANCE)
    await stored.move(SECOND)

    await assert_one_more_full_timeout(stored, vm_id)


async def test_a_report_after_a_restart_ends_the_maintenance_of_stopping(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.report(vm_id, status="stopping")
    await stored.report(vm_id, status="running")
    await stored.move(STALE_TIMEOUT + SECOND)
    await sweep_once(stored)

    assert isinstance(await verdict_on(stored, vm_id), Look)


async def test_a_paused_vm_still_goes_down(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await pause_by_hand(stored, vm_id)
    await stored.move(STALE_TIMEOUT + SECOND)
    await sweep_once(stored)

    assert (await stored.state(vm_id)).state == State.DOWN


async def test_a_global_stop_beats_a_forced_reset_by_hand(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stop_by_hand(stored, vm_id)
    verdict = await verdict_on(stored, vm_id, manual=True, forced=True)
    assert isinstance(verdict, Hold)
    assert (verdict.reason, "storage" in verdict.message) == (HoldReason.GLOBAL_STOP, True)

    await go_by_hand(stored, vm_id)
    assert isinstance(await verdict_on(stored, vm_id, manual=True, forced=True), Look)


async def test_force_overrides_used_up_attempts_only(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.set(vm_id, state="reset_failed", reset_attempts=3, last_attempt_at=stored.now)

    refused = await verdict_on(stored, vm_id, manual=True)
    assert isinstance(refused, Hold)
    assert refused.reason is HoldReason.ATTEMPTS_EXHAUSTED
    assert isinstance(await verdict_on(stored, vm_id, manual=True, forced=True), Look)


async def test_a_manual_reset_passes_a_pause_and_a_window(stored: Stored) -> None:
    vm_id = await stored.down_vm(labels=RACK)
    await pause_by_hand(stored, vm_id)
    await open_by_hand(stored, vm_id)

    assert isinstance(await verdict_on(stored, vm_id, manual=True), Look)


async def test_stops_of_two_kinds_end_apart(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stop_by_hand(stored, vm_id)
    await stop_in_a_spec(stored, vm_id)

    await go_by_hand(stored, vm_id)
    verdict = await verdict_on(stored, vm_id, manual=True, forced=True)
    assert isinstance(verdict, Hold)
    assert verdict.reason is HoldReason.GLOBAL_STOP
    assert not await controls.end_global_stop(stored.connection, KIM, stored.now)
    await go_in_the_spec(stored, vm_id)

    assert await controls.global_stop(stored.connection) is None


async def test_a_deleted_systemconfig_leaves_its_stop_and_windows_in_force(stored: Stored) -> None:
    from defib_core.store import mirror as mirrored  # noqa: PLC0415 - the name is taken above

    vm_id = await stored.down_vm(labels=RACK)
    await stored.configure(
        maintenance=(window_spec(stored),), global_stop=GlobalStopSpec(reason="storage")
    )
    await mirrored.forget_config(stored.connection, "uid-config-default")

    await assert_held(stored, vm_id, HoldReason.GLOBAL_STOP)
    assert len(await controls.windows(stored.connection)) == 1


async def test_a_window_of_a_systemconfig_is_for_its_own_vms(stored: Stored) -> None:
    await stored.configure("other")
    own = await stored.down_vm(labels=RACK)
    other = await stored.down_vm(labels=RACK, config="other")
    await stored.configure(maintenance=(window_spec(stored),))

    await assert_held(stored, own, HoldReason.MAINTENANCE)
    verdict = await verdict_on(stored, other)
    assert not isinstance(verdict, Hold) or verdict.reason is not HoldReason.MAINTENANCE


async def test_a_window_selects_by_all_of_its_labels(stored: Stored) -> None:
    both = await stored.down_vm(labels={"rack": "r7", "team": "shop"})
    one = await stored.down_vm(labels={"rack": "r7"})
    wish = WindowWish("w", {"rack": "r7", "team": "shop"}, "x", stored.now, stored.now + HOUR)
    await controls.open_window(stored.connection, KIM, wish, stored.now)

    await assert_held(stored, both, HoldReason.MAINTENANCE)
    assert isinstance(await verdict_on(stored, one), Look)


async def test_a_window_that_is_yet_to_come_holds_nothing(stored: Stored) -> None:
    vm_id = await stored.down_vm(labels=RACK)
    wish = WindowWish("w", RACK, "x", stored.now + SECOND, stored.now + HOUR)
    await controls.open_window(stored.connection, KIM, wish, stored.now)
    assert isinstance(await verdict_on(stored, vm_id), Look)

    await stored.move(SECOND)
    await assert_held(stored, vm_id, HoldReason.MAINTENANCE)


async def test_closing_a_window_that_had_not_begun_restarts_no_clock(stored: Stored) -> None:
    vm_id = await stored.down_vm(labels=RACK)
    wish = WindowWish("w", RACK, "x", stored.now + MINUTE, stored.now + HOUR)
    window_id = await controls.open_window(stored.connection, KIM, wish, stored.now)

    assert await controls.close_window(stored.connection, KIM, window_id, stored.now)

    assert isinstance(await verdict_on(stored, vm_id), Look)


async def test_cleared_it_is_down_again_with_no_attempt_and_a_full_timeout(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.set(vm_id, state="reset_failed", reset_attempts=3, last_attempt_at=stored.now)
    assert await controls.clear(stored.connection, KIM, vm_id, stored.now, reason="new disk")

    state = await stored.state(vm_id)
    assert (state.state, state.reset_attempts, state.last_attempt_at) == ("down", 0, None)
    assert (await stored.transitions(vm_id))[-1] == ("reset_failed", "down", "Cleared")
    await assert_one_more_full_timeout(stored, vm_id)
