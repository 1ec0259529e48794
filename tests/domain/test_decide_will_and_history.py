"""The first group of reasons: a person's will, and what was done to the VM before."""

from datetime import timedelta

import pytest

from defib_core.domain.decide import Case, Hold, decide
from defib_core.domain.reasons import HoldReason
from defib_core.domain.states import State
from support.cases import (
    NOW,
    SECOND,
    after,
    around,
    manual,
    policy,
    reason_of,
    safety,
    seen,
    treated,
)


def held_for(*rows: tuple[str, Case, HoldReason | None]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("case", "reason"), [pytest.param(case, reason, id=name) for name, case, reason in rows]
    )


@held_for(
    ("everything is stopped", around(global_stop="storage work"), HoldReason.GLOBAL_STOP),
    ("automatic resets are off", policy(auto_reset_enabled=False), HoldReason.AUTO_RESET_DISABLED),
    ("resets of this VM are off", treated(enabled=False), HoldReason.REMEDIATION_DISABLED),
    ("in a maintenance window", around(maintenance="patch day"), HoldReason.MAINTENANCE),
)
def test_a_persons_will_holds(case: Case, reason: HoldReason) -> None:
    assert reason_of(case) is reason


@held_for(
    ("without an end", treated(paused_reason="patching"), HoldReason.PAUSED),
    (
        "a second before its end",
        treated(paused_reason="patching", paused_until=NOW + SECOND),
        HoldReason.PAUSED,
    ),
    ("exactly at its end", treated(paused_reason="patching", paused_until=NOW), None),
    ("a second after its end", treated(paused_reason="patching", paused_until=NOW - SECOND), None),
    ("an end without a pause", treated(paused_until=NOW + timedelta(hours=1)), None),
)
def test_a_pause_holds_until_its_end(case: Case, reason: HoldReason | None) -> None:
    assert reason_of(case) is reason


@held_for(
    ("none of three reports", seen(reports=0), HoldReason.OBSERVING),
    ("two of three reports", seen(reports=2), HoldReason.OBSERVING),
    ("three of three reports", seen(reports=3), None),
    ("four of three reports", seen(reports=4), None),
    ("a fleet that arms at the first", seen(safety(arm_after_reports=1), reports=1), None),
)
def test_a_vm_is_observed_before_it_is_armed(case: Case, reason: HoldReason | None) -> None:
    assert reason_of(case) is reason


@held_for(
    ("one attempt left", after(attempts=2), None),
    ("no attempt left", after(attempts=3), HoldReason.ATTEMPTS_EXHAUSTED),
    ("more attempts than allowed", after(attempts=4), HoldReason.ATTEMPTS_EXHAUSTED),
    ("none is ever allowed", treated(max_attempts=0), HoldReason.ATTEMPTS_EXHAUSTED),
    ("given up", after(seen(state=State.RESET_FAILED), attempts=3), HoldReason.ATTEMPTS_EXHAUSTED),
    (
        "given up, and more attempts allowed since",
        after(treated(seen(state=State.RESET_FAILED), max_attempts=9), attempts=3),
        HoldReason.ATTEMPTS_EXHAUSTED,
    ),
)
def test_attempts_are_counted_to_their_end(case: Case, reason: HoldReason | None) -> None:
    assert reason_of(case) is reason


@held_for(
    ("everything is stopped", manual(around(global_stop="x")), HoldReason.GLOBAL_STOP),
    ("stopped, and forced", manual(around(global_stop="x"), forced=True), HoldReason.GLOBAL_STOP),
    ("no attempt left", manual(after(attempts=3)), HoldReason.ATTEMPTS_EXHAUSTED),
    ("no attempt left, and forced", manual(after(attempts=3), forced=True), None),
    ("never allowed, and forced", manual(treated(max_attempts=0), forced=True), None),
    ("automatic resets are off", manual(policy(auto_reset_enabled=False)), None),
    ("resets of this VM are off", manual(treated(enabled=False)), None),
    ("paused", manual(treated(paused_reason="patching")), None),
    ("in a maintenance window", manual(around(maintenance="x")), None),
    ("not armed", manual(seen(reports=0)), None),
    ("never reported", manual(seen(state=State.UNKNOWN, last_heartbeat=None, reports=0)), None),
    ("healthy", manual(seen(state=State.HEALTHY, last_heartbeat=NOW)), None),
    (
        "given up, and more attempts allowed since",
        manual(after(treated(seen(state=State.RESET_FAILED), max_attempts=9), attempts=3)),
        None,
    ),
)
def test_a_person_passes_all_but_the_stop_and_the_attempts(
    case: Case, reason: HoldReason | None
) -> None:
    assert reason_of(case) is reason


def test_messages_tell_who_is_on_call_what_to_know() -> None:
    paused = treated(paused_reason="patching", paused_until=NOW + timedelta(hours=2))
    assert decide(paused, NOW) == Hold(
        HoldReason.PAUSED, "paused until 2026-03-01T14:00:00Z: patching"
    )
    assert decide(after(attempts=3), NOW) == Hold(
        HoldReason.ATTEMPTS_EXHAUSTED,
        "3 of 3 attempts are used; find the cause, then clear it by hand",
    )
    assert decide(seen(reports=2), NOW) == Hold(
        HoldReason.OBSERVING, "it has sent 2 of the 3 reports that arm it"
    )
