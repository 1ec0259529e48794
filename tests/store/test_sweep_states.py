"""The changes of state that come with time: down, given up, forgiven, and pauses that end."""

from datetime import timedelta

import pytest

from defib_core.domain.actions import Phase
from defib_core.domain.states import State
from defib_core.store.sweep import Change
from support.stored import LONG_AGO, MINUTE, SECOND, STALE_TIMEOUT, Stored

HOUR = timedelta(hours=1)


# down


@pytest.mark.parametrize(
    ("silent", "goes_down"),
    [
        (STALE_TIMEOUT - SECOND, False),
        (STALE_TIMEOUT, False),
        (STALE_TIMEOUT + timedelta(microseconds=1), True),
    ],
)
async def test_a_vm_goes_down_when_its_silence_exceeds_the_timeout(
    stored: Stored, silent: timedelta, *, goes_down: bool
) -> None:
    vm_id = await stored.reporting_vm()
    await stored.move(silent)
    changes = await stored.change_states()
    assert changes == ([Change(vm_id, State.HEALTHY, State.DOWN)] if goes_down else [])
    state = await stored.state(vm_id)
    if goes_down:
        assert (state.state, state.state_since, state.alive_since) == ("down", stored.now, None)
        assert (await stored.transitions(vm_id))[-1] == ("healthy", "down", "HeartbeatMissing")
    else:
        assert state.state == "healthy"


async def test_a_warning_goes_down_too(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.report(vm_id, cpu=95)
    await stored.move(STALE_TIMEOUT + SECOND)
    assert await stored.change_states() == [Change(vm_id, State.WARNING, State.DOWN)]


async def test_its_own_timeout_counts_before_the_fleets(stored: Stored) -> None:
    quick = await stored.reporting_vm(stale_timeout=MINUTE)
    slow = await stored.reporting_vm(stale_timeout=HOUR)
    await stored.move(MINUTE + SECOND)
    assert [change.vm_id for change in await stored.change_states()] == [quick]
    await stored.move(HOUR)
    assert [change.vm_id for change in await stored.change_states()] == [slow]


@pytest.mark.parametrize(("after_the_floor", "goes_down"), [(-SECOND, False), (SECOND, True)])
async def test_a_floor_of_the_vm_starts_its_clock(
    stored: Stored, after_the_floor: timedelta, *, goes_down: bool
) -> None:
    vm_id = await stored.reporting_vm()
    floor = await stored.move(HOUR)
    await stored.set(vm_id, clock_floor=floor)
    await stored.move(STALE_TIMEOUT + after_the_floor)
    assert bool(await stored.change_states()) is goes_down


@pytest.mark.parametrize(("after_the_floor", "goes_down"), [(-SECOND, False), (SECOND, True)])
async def test_the_end_of_blindness_starts_every_clock(
    stored: Stored, after_the_floor: timedelta, *, goes_down: bool
) -> None:
    await stored.reporting_vm()
    floor = await stored.move(HOUR)
    await stored.move(STALE_TIMEOUT + after_the_floor)
    assert bool(await stored.change_states(floor=floor)) is goes_down


async def test_a_paused_vm_goes_down_all_the_same(stored: Stored) -> None:
    vm_id = await stored.reporting_vm(paused_reason="patching")
    await stored.move(STALE_TIMEOUT + SECOND)
    assert [change.vm_id for change in await stored.change_states()] == [vm_id]


async def test_a_vm_that_never_reported_is_unknown_for_ever(stored: Stored) -> None:
    vm_id = await stored.vm()
    await stored.move(timedelta(days=30))
    assert await stored.change_states() == []
    assert (await stored.state(vm_id)).state == "unknown"


async def test_it_goes_down_once(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.move(STALE_TIMEOUT + SECOND)
    await stored.change_states()
    await stored.move(HOUR)
    assert await stored.change_states() == []
    assert len(await stored.transitions(vm_id)) == 2


async def test_other_fleets_are_left_alone(stored: Stored) -> None:
    await stored.configure("other")
    vm_id = await stored.reporting_vm(config="other")
    await stored.move(HOUR)
    assert await stored.change_states() == []
    other = await stored.change_states(config_id=await stored.config_id("other"))
    assert [change.vm_id for change in other] == [vm_id]


# blind


async def test_a_blind_fleet_is_left_as_it_is(stored: Stored) -> None:
    silent = await stored.reporting_vm()
    spent = await stored.down_vm()
    await stored.set(spent, reset_attempts=3, last_attempt_at=LONG_AGO)
    well = await stored.reporting_vm()
    await stored.set(well, reset_attempts=2, last_attempt_at=LONG_AGO, alive_since=LONG_AGO)
    await stored.move(HOUR)
    before = [await stored.state(vm_id) for vm_id in (silent, spent, well)]
    assert await stored.change_states(blind=True) == []
    assert [await stored.state(vm_id) for vm_id in (silent, spent, well)] == before


# given up


@pytest.mark.parametrize(
    ("attempts", "ago", "given_up"),
    [
        (3, 5 * MINUTE - SECOND, False),
        (3, 5 * MINUTE, True),
        (4, 5 * MINUTE, True),
        (2, HOUR, False),
    ],
)
async def test_it_is_given_up_when_the_grace_after_the_last_attempt_is_over(
    stored: Stored, attempts: int, ago: timedelta, *, given_up: bool
) -> None:
    vm_id = await stored.down_vm()
    await stored.set(vm_id, reset_attempts=attempts, last_attempt_at=stored.now - ago)
    changes = await stored.change_states()
    assert changes == ([Change(vm_id, State.DOWN, State.RESET_FAILED)] if given_up else [])
    if given_up:
        last = (await stored.transitions(vm_id))[-1]
        assert last == ("down", "reset_failed", "AttemptsExhausted")
        assert (await stored.state(vm_id)).state_since == stored.now


async def test_without_attempts_allowed_nobody_is_given_up(stored: Stored) -> None:
    vm_id = await stored.down_vm(max_attempts=0)
    await stored.set(vm_id, reset_attempts=5, last_attempt_at=LONG_AGO)
    assert await stored.change_states() == []


async def test_nobody_is_given_up_while_a_reset_is_under_way(stored: Stored) -> None:
    vm_id = await stored.down_vm(max_attempts=1)
    intent_id = await stored.send(vm_id)
    await stored.move(HOUR)
    assert await stored.change_states() == []
    await stored.end(intent_id, Phase.UNKNOWN)
    assert await stored.change_states() == [Change(vm_id, State.DOWN, State.RESET_FAILED)]


async def test_after_blindness_a_guest_has_the_grace_to_report_again(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.set(vm_id, reset_attempts=3, last_attempt_at=LONG_AGO)
    floor = stored.now
    await stored.move(5 * MINUTE - SECOND)
    assert await stored.change_states(floor=floor) == []
    await stored.move(SECOND)
    assert len(await stored.change_states(floor=floor)) == 1


async def test_one_that_dies_again_soon_is_given_up_at_once(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.set(vm_id, reset_attempts=3, last_attempt_at=stored.now)
    await stored.move(STALE_TIMEOUT + SECOND)
    assert [change.to_state for change in await stored.change_states()] == [
        State.DOWN,
        State.RESET_FAILED,
    ]
    assert (await stored.state(vm_id)).state == "reset_failed"


# forgiven


@pytest.mark.parametrize(("well", "attempts"), [(HOUR - SECOND, 2), (HOUR, 0)])
async def test_attempts_are_forgiven_after_an_hour_of_health(
    stored: Stored, well: timedelta, attempts: int
) -> None:
    vm_id = await stored.reporting_vm()
    await stored.set(vm_id, reset_attempts=2, last_attempt_at=stored.now - HOUR)
    await stored.set(vm_id, alive_since=stored.now)
    await stored.move(well)
    await stored.report(vm_id)
    await stored.change_states()
    state = await stored.state(vm_id)
    assert state.reset_attempts == attempts
    assert (state.last_attempt_at is None) == (attempts == 0)


async def test_the_hour_begins_again_after_blindness(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.set(vm_id, reset_attempts=2, last_attempt_at=LONG_AGO, alive_since=LONG_AGO)
    await stored.change_states(floor=stored.now - HOUR + SECOND)
    assert (await stored.state(vm_id)).reset_attempts == 2
    await stored.change_states(floor=stored.now - HOUR)
    assert (await stored.state(vm_id)).reset_attempts == 0


async def test_a_manual_reset_of_a_healthy_vm_is_not_forgiven_at_once(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.set(vm_id, alive_since=LONG_AGO)
    await stored.send(vm_id)
    await stored.change_states()
    assert (await stored.state(vm_id)).reset_attempts == 1


async def test_who_is_down_is_not_forgiven(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.set(vm_id, reset_attempts=2, last_attempt_at=LONG_AGO)
    await stored.change_states()
    assert (await stored.state(vm_id)).reset_attempts == 2


async def test_a_forgiven_vm_is_shown_so(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.set(vm_id, reset_attempts=2, last_attempt_at=LONG_AGO, alive_since=LONG_AGO)
    await stored.execute("DELETE FROM status_outbox")
    await stored.change_states()
    queued = await stored.execute("SELECT vm_id FROM status_outbox")
    assert [row.vm_id for row in queued] == [vm_id]


# pauses that end


async def test_the_end_of_a_pause_starts_the_clock(stored: Stored) -> None:
    end = stored.now + HOUR
    vm_id = await stored.reporting_vm(paused_reason="patching", paused_until=end)
    await stored.move(HOUR - SECOND)
    await stored.change_states()
    assert (await stored.state(vm_id)).clock_floor == LONG_AGO
    await stored.move(MINUTE)
    await stored.change_states()
    assert (await stored.state(vm_id)).clock_floor == end


async def test_a_pause_that_ended_long_ago_moves_no_later_floor_back(stored: Stored) -> None:
    vm_id = await stored.reporting_vm(paused_reason="patching", paused_until=stored.now + MINUTE)
    later = stored.now + 10 * MINUTE
    await stored.set(vm_id, clock_floor=later)
    await stored.move(HOUR)
    await stored.change_states()
    assert (await stored.state(vm_id)).clock_floor == later
