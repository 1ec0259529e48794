"""An explanation says what the decision would say, and what would change it. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from defib_core.domain.decide import Case, Hold, decide
from defib_core.domain.explain import ASKED, GROUP_OF, explain
from defib_core.domain.explain_text import text_of
from defib_core.domain.explain_words import NEEDED, PASSED, duration
from defib_core.domain.explanation import (
    CheckResult,
    Decision,
    Explanation,
    Facts,
    Floor,
    InForce,
    OpenHold,
    Traffic,
    VerdictKind,
)
from defib_core.domain.observation import Brake
from defib_core.domain.policy import LifeSignal
from defib_core.domain.reasons import HoldReason
from defib_core.domain.states import State
from support.cases import NOW, STALE_TIMEOUT, after, around, policy, safety, seen, treated

MINUTE = timedelta(minutes=1)
HEARD = NOW - 10 * MINUTE
DEAD = seen(guest=None)


def facts(case: Case = DEAD, **changes: Any) -> Facts:  # noqa: ANN401 - any field
    given = Facts(
        now=NOW,
        name="web-01",
        case=case,
        state_since=NOW - 5 * MINUTE,
        floors=[Floor(case.observation.clock_floor, "it came under management")],
        swept_at=NOW,
    )
    return replace(given, **changes)


def held_by(reason: HoldReason) -> OpenHold:
    return OpenHold(reason, f"the operator says {reason}", NOW - MINUTE)


def status_of(told: Explanation, reason: HoldReason) -> CheckResult:
    return next(one.status for one in told.checks if one.reason is reason)


def alive(state: State = State.HEALTHY, **changes: Any) -> Case:  # noqa: ANN401 - any field
    return seen(DEAD, **{"state": state, "last_heartbeat": NOW - MINUTE} | changes)


HELD: dict[HoldReason, Case] = {
    HoldReason.GLOBAL_STOP: around(DEAD, global_stop="storage (kim)"),
    HoldReason.AUTO_RESET_DISABLED: policy(DEAD, auto_reset_enabled=False),
    HoldReason.REMEDIATION_DISABLED: treated(DEAD, enabled=False),
    HoldReason.PAUSED: treated(DEAD, paused_reason="disk"),
    HoldReason.MAINTENANCE: around(DEAD, maintenance="firmware"),
    HoldReason.OBSERVING: seen(DEAD, reports=2),
    HoldReason.ATTEMPTS_EXHAUSTED: after(DEAD, attempts=3, last_attempt_at=NOW - 120 * MINUTE),
    HoldReason.INGEST_BLIND: around(DEAD, ingest_blind_since=NOW - MINUTE),
    HoldReason.RELAY_BLIND: around(DEAD, relay_blind="the relay site-a is not heard"),
    HoldReason.REPORTS_REJECTED: around(DEAD, reports_rejected="its key was revoked"),
    HoldReason.PATH_FAILURE: around(DEAD, brakes=(Brake(HoldReason.PATH_FAILURE, "path"),)),
    HoldReason.FLEET_BRAKE: around(DEAD, brakes=(Brake(HoldReason.FLEET_BRAKE, "fleet"),)),
    HoldReason.NODE_BRAKE: around(DEAD, brakes=(Brake(HoldReason.NODE_BRAKE, "node"),)),
    HoldReason.STORM_COOLDOWN: around(DEAD, brakes=(Brake(HoldReason.STORM_COOLDOWN, "cool"),)),
    HoldReason.BACK_OFF: after(DEAD, attempts=1, last_attempt_at=NOW - MINUTE),
}
"""What the database knows; all else is asked of Proxmox, or known to the operator alone."""


def test_the_table_holds_every_reason_that_the_database_knows() -> None:
    assert HELD.keys() | ASKED == set(HoldReason)
    assert not HELD.keys() & ASKED


def test_there_are_words_for_every_reason() -> None:
    assert set(NEEDED) == set(HoldReason)
    assert set(PASSED) == set(HoldReason) - ASKED
    assert [GROUP_OF[reason] for reason in HoldReason] == sorted(GROUP_OF.values())


@pytest.mark.parametrize("reason", HELD)
def test_what_holds_is_the_verdict_in_the_decisions_own_words(reason: HoldReason) -> None:
    case = HELD[reason]
    decided = decide(case, NOW)
    assert isinstance(decided, Hold)
    assert decided.reason is reason

    told = explain(facts(case))

    assert (told.verdict.kind, told.verdict.reason) == (VerdictKind.HELD, reason)
    assert told.verdict.message == decided.message
    assert status_of(told, reason) is CheckResult.HOLDS
    assert told.needed[0].startswith(f"{reason}: {NEEDED[reason]}")
    text = text_of(told)
    assert f"{reason}: {decided.message}" in text
    assert "HOLDS" in text


@pytest.mark.parametrize("reason", HELD)
def test_every_other_check_of_the_database_has_passed(reason: HoldReason) -> None:
    told = explain(facts(HELD[reason]))
    others = {one.reason: one.status for one in told.checks if one.reason not in {reason, *ASKED}}
    assert set(others.values()) == {CheckResult.PASSED}


def test_the_checks_come_in_the_order_of_the_rules() -> None:
    told = explain(facts())
    assert [one.reason for one in told.checks] == list(HoldReason)
    assert {one.group for one in told.checks} == {1, 2, 3, 4, 5}


def test_all_that_holds_is_named_not_only_the_first() -> None:
    case = around(treated(DEAD, paused_reason="disk"), global_stop="storage")
    told = explain(facts(case))
    assert told.verdict.reason is HoldReason.GLOBAL_STOP
    assert [one.partition(":")[0] for one in told.needed[:2]] == ["GlobalStop", "Paused"]


def test_since_when_it_holds_is_the_holds_own_beginning() -> None:
    case = HELD[HoldReason.PAUSED]
    assert explain(facts(case)).verdict.since is None
    told = explain(facts(case, hold=held_by(HoldReason.PAUSED)))
    assert told.verdict.since == NOW - MINUTE
    overtaken = explain(facts(case, hold=held_by(HoldReason.VM_LOCKED)))
    assert overtaken.verdict.since is None


# what only the operator knows


@pytest.mark.parametrize("reason", sorted(ASKED))
def test_the_operators_last_word_holds_where_the_database_knows_nothing(reason: HoldReason) -> None:
    told = explain(facts(hold=held_by(reason)))
    assert (told.verdict.kind, told.verdict.reason) == (VerdictKind.HELD, reason)
    assert told.verdict.message == f"the operator says {reason}"
    assert status_of(told, reason) is CheckResult.HOLDS


def test_what_comes_before_the_operators_last_word_has_passed_and_the_rest_is_not_asked() -> None:
    told = explain(facts(hold=held_by(HoldReason.VM_LOCKED)))
    assert status_of(told, HoldReason.CONTROL_PLANE_STALE) is CheckResult.PASSED
    assert status_of(told, HoldReason.VM_STOPPED) is CheckResult.PASSED
    assert status_of(told, HoldReason.STORAGE_ERROR) is CheckResult.NOT_ASKED
    assert status_of(told, HoldReason.IO_ACTIVE) is CheckResult.NOT_ASKED


def test_a_limit_comes_last_so_that_everything_else_has_passed() -> None:
    told = explain(facts(hold=held_by(HoldReason.IN_FLIGHT_LIMIT), traffic=Traffic(in_flight=2)))
    rest = [one.status for one in told.checks if one.reason is not HoldReason.IN_FLIGHT_LIMIT]
    assert set(rest) == {CheckResult.PASSED}


@pytest.mark.parametrize(
    ("traffic", "reason"),
    [
        (Traffic(in_flight=2), HoldReason.IN_FLIGHT_LIMIT),
        (Traffic(on_node=2), HoldReason.IN_FLIGHT_LIMIT),
        (Traffic(last_hour=30), HoldReason.HOURLY_LIMIT),
    ],
)
def test_a_full_limit_is_shown_before_anybody_waits_for_it(
    traffic: Traffic, reason: HoldReason
) -> None:
    told = explain(facts(alive(), traffic=traffic))
    assert status_of(told, reason) is CheckResult.HOLDS
    assert status_of(explain(facts()), reason) is CheckResult.PASSED


def test_nothing_of_the_operators_is_claimed_where_it_has_said_nothing() -> None:
    told = explain(facts())
    assert told.verdict.kind is VerdictKind.DUE
    asked = {one.status for one in told.checks if one.reason in ASKED and one.group > 3}
    assert asked == {CheckResult.NOT_ASKED}
    assert any("Proxmox says" in one for one in told.needed)
    assert any("guest agent does not answer" in one for one in told.needed)


@pytest.mark.parametrize(
    ("signals", "asked"),
    [
        (frozenset({LifeSignal.GUEST_AGENT}), ["its QEMU guest agent does not answer"]),
        (frozenset({LifeSignal.IO}), ["its disks and network are still over 30 s"]),
        (frozenset(), []),
    ],
)
def test_only_the_signs_of_life_that_are_asked_for_are_needed(
    signals: frozenset[LifeSignal], asked: list[str]
) -> None:
    told = explain(facts(safety(DEAD, second_life_signals=signals)))
    assert [one for one in told.needed if one.startswith("its ")] == asked


# clocks


@pytest.mark.parametrize(
    ("floor", "kind"),
    [
        (NOW - STALE_TIMEOUT, VerdictKind.WAITING),
        (NOW - STALE_TIMEOUT - timedelta(milliseconds=1), VerdictKind.DUE),
        (NOW, VerdictKind.WAITING),
    ],
)
def test_a_clock_that_was_started_again_leaves_a_full_timeout(
    floor: datetime, kind: VerdictKind
) -> None:
    told = explain(
        facts(seen(DEAD, clock_floor=floor), floors=[Floor(floor, "a global stop ended")])
    )
    assert told.verdict.kind is kind
    assert told.clocks.runs_out_at == floor + STALE_TIMEOUT
    assert told.clocks.counts_from_why == "a global stop ended"


def test_the_latest_floor_counts_and_all_that_apply_are_shown() -> None:
    floors = [
        Floor(NOW - 20 * MINUTE, "it came under management"),
        Floor(NOW - 3 * MINUTE, "its pause ended"),
        Floor(NOW - 2 * MINUTE, "a global stop ended"),
    ]
    told = explain(facts(seen(DEAD, clock_floor=NOW - 2 * MINUTE), floors=floors))
    assert told.clocks.last_heartbeat == HEARD
    assert told.clocks.floored_silence == 2 * MINUTE
    assert [one.why for one in told.clocks.floors] == ["a global stop ended", "its pause ended"]
    assert "its pause ended" in text_of(told)


def test_a_heartbeat_later_than_every_floor_counts() -> None:
    told = explain(facts(alive()))
    assert (told.clocks.counts_from, told.clocks.floors) == (NOW - MINUTE, [])
    assert told.needed[0] == "no heartbeat comes until 2026-03-01T12:04:00Z: 5 m of silence"


def test_a_vm_that_never_reported_has_a_clock_too() -> None:
    case = seen(DEAD, state=State.UNKNOWN, last_heartbeat=None, reports=0)
    told = explain(facts(case))
    assert told.verdict.kind is VerdictKind.NEVER_REPORTED
    assert told.needed[0].startswith("it reports, and later falls silent")
    assert status_of(told, HoldReason.OBSERVING) is CheckResult.HOLDS
    assert "never" in text_of(told)


# verdicts without a hold


@pytest.mark.parametrize("state", [State.HEALTHY, State.WARNING])
def test_a_vm_that_reports_needs_nothing(state: State) -> None:
    told = explain(facts(alive(state)))
    assert told.verdict.kind is VerdictKind.ALIVE


def test_of_a_vm_that_reports_it_says_what_would_hold_it() -> None:
    told = explain(facts(treated(alive(), paused_reason="disk")))
    assert told.verdict.kind is VerdictKind.ALIVE
    assert status_of(told, HoldReason.PAUSED) is CheckResult.HOLDS


def test_a_vm_without_an_object_is_never_reset() -> None:
    told = explain(facts(not_managed="its VirtualMachine was deleted"))
    assert told.verdict.kind is VerdictKind.NOT_MANAGED
    assert {one.status for one in told.checks} == {CheckResult.NOT_ASKED}
    assert told.needed == ["a VirtualMachine must stand for it, and be accepted"]
    assert "Checks" not in text_of(told)


def test_a_reset_under_way_is_the_verdict() -> None:
    told = explain(facts(HELD[HoldReason.PAUSED], under_way="reset_45 is under way"))
    assert (told.verdict.kind, told.verdict.message, told.needed) == (
        VerdictKind.UNDER_WAY,
        "reset_45 is under way",
        [],
    )


def test_a_dry_run_that_was_recorded_is_not_repeated() -> None:
    case = after(policy(DEAD, dry_run=True), dry_run_done=True)
    assert explain(facts(case)).verdict.kind is VerdictKind.RECORDED
    told = explain(facts(policy(DEAD, dry_run=True)))
    assert told.verdict.kind is VerdictKind.DUE
    assert any(one.startswith("dryRun is set to false") for one in told.needed)


def test_given_up_it_says_so() -> None:
    case = after(seen(DEAD, state=State.RESET_FAILED), attempts=3)
    told = explain(facts(case))
    assert told.verdict.reason is HoldReason.ATTEMPTS_EXHAUSTED
    assert told.attempts.left == 0


# attempts, warnings, the rest


def test_the_next_attempt_waits_twice_as_long_each_time() -> None:
    case = after(DEAD, attempts=2, last_attempt_at=NOW - MINUTE)
    attempts = explain(facts(case, reset_pending=True)).attempts
    assert (attempts.used, attempts.allowed, attempts.left) == (2, 3, 1)
    assert attempts.next_not_before == NOW + 9 * MINUTE
    assert attempts.pending
    text = text_of(explain(facts(case, reset_pending=True)))
    assert "the next may be at 2026-03-01T12:09:00Z" in text
    assert "no heartbeat has come since" in text


@pytest.mark.parametrize(
    ("swept_at", "warned"),
    [
        (NOW, False),
        (NOW - MINUTE, False),
        (NOW - MINUTE - timedelta(seconds=1), True),
        (None, True),
    ],
)
def test_an_operator_that_does_not_sweep_is_the_first_thing_said(
    swept_at: datetime | None, warned: bool
) -> None:
    told = explain(facts(swept_at=swept_at))
    assert bool(told.warnings) is warned
    assert text_of(told).startswith("WARNING: no operator") is warned


def test_slow_sweeps_that_are_configured_are_no_warning() -> None:
    case = policy(DEAD, stale_check_interval=30 * MINUTE)
    assert explain(facts(case, swept_at=NOW - 60 * MINUTE)).warnings == []


def test_what_is_in_force_and_what_was_decided_is_passed_on() -> None:
    force = InForce("Maintenance", "firmware", NOW, NOW + MINUTE)
    decision = Decision(NOW, "hold", "not reset: VMLocked", until=NOW)
    told = explain(facts(in_force=[force], decisions=[decision]))
    text = text_of(told)
    assert "Maintenance: firmware, since 2026-03-01T12:00:00Z, until 2026-03-01T12:01:00Z" in text
    assert "2026-03-01T12:00:00Z until 2026-03-01T12:00:00Z  hold: not reset: VMLocked" in text


def test_the_whole_text_reads_as_a_person_would_write_it() -> None:
    told = explain(facts(after(DEAD, attempts=1, last_attempt_at=NOW - 20 * MINUTE)))
    assert text_of(told).splitlines()[:14] == [
        "web-01 is down since 2026-03-01T11:55:00Z (5 m ago)",
        "nothing that the database knows holds it; the next sweep asks Proxmox",
        "",
        "Clocks",
        "  last heartbeat       2026-03-01T11:50:00Z (10 m ago)",
        "  silence counts from  2026-03-01T11:50:00Z: its heartbeat",
        "  silent, so counted   10 m of 5 m",
        "  time is up           2026-03-01T11:55:00Z (5 m ago)",
        "",
        "For a reset, in this order",
        "  1. Proxmox says that it is there, the same, running, and not paused, locked or moving",
        "  2. its QEMU guest agent does not answer",
        "  3. its disks and network are still over 30 s",
        "",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 m"),
        (60, "1 m"),
        (252, "4 m 12 s"),
        (3600, "1 h"),
        (3661, "1 h 1 m"),
        (86_400, "1 d"),
        (90_061, "1 d 1 h"),
        (86_401, "1 d"),
    ],
)
def test_a_span_is_written_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(timedelta(seconds=seconds)) == words
