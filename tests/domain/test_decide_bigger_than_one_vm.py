"""The third group of reasons: brakes on this VM, and the wait between attempts."""

from datetime import timedelta

import pytest

from defib_core.domain.decide import Case, Hold, decide
from defib_core.domain.observation import Brake
from defib_core.domain.reasons import HoldReason
from support.cases import NOW, SECOND, after, around, guest, manual, policy, reason_of, treated

BRAKES = (
    HoldReason.PATH_FAILURE,
    HoldReason.FLEET_BRAKE,
    HoldReason.NODE_BRAKE,
    HoldReason.STORM_COOLDOWN,
)
GRACE = timedelta(seconds=300)


@pytest.mark.parametrize("reason", BRAKES)
def test_a_brake_holds_with_its_own_words(reason: HoldReason) -> None:
    braked = around(brakes=(Brake(reason, "9 of 10 VMs are silent"),))
    assert decide(braked, NOW) == Hold(reason, "9 of 10 VMs are silent")


@pytest.mark.parametrize("reason", BRAKES)
def test_a_brake_does_not_hold_a_person(reason: HoldReason) -> None:
    assert reason_of(manual(around(brakes=(Brake(reason, "x"),)))) is None


def test_of_several_brakes_the_first_is_the_reason() -> None:
    both = around(brakes=(Brake(BRAKES[0], "first"), Brake(BRAKES[2], "second")))
    assert decide(both, NOW) == Hold(BRAKES[0], "first")


def made(attempts: int, ago: timedelta, *, allowed: int = 9) -> Case:
    return after(treated(max_attempts=allowed), attempts=attempts, last_attempt_at=NOW - ago)


ROWS: list[tuple[str, Case, HoldReason | None]] = [
    ("a second before the wait is over", made(1, GRACE - SECOND), HoldReason.BACK_OFF),
    ("exactly when the wait is over", made(1, GRACE), None),
    ("a second after", made(1, GRACE + SECOND), None),
    ("twice as long after two", made(2, 2 * GRACE - SECOND), HoldReason.BACK_OFF),
    ("two, and waited", made(2, 2 * GRACE), None),
    ("four times as long after three", made(3, 4 * GRACE - SECOND), HoldReason.BACK_OFF),
    ("an hour at most", made(8, timedelta(hours=1) - SECOND), HoldReason.BACK_OFF),
    ("an hour after eight", made(8, timedelta(hours=1)), None),
    ("a shorter grace", policy(made(1, 2 * SECOND), boot_grace=SECOND), None),
    ("a person does not wait", manual(made(1, SECOND)), None),
    ("no connection for the first attempt", made(0, GRACE - SECOND), HoldReason.BACK_OFF),
    ("no connection for the first attempt, and waited", made(0, GRACE), None),
    ("a counter that was cleared", after(attempts=0, last_attempt_at=None), None),
    (
        "the start that is owed waits too",
        guest(after(made(3, GRACE - SECOND), owes_start=True), running=False, qmpstatus="stopped"),
        HoldReason.BACK_OFF,
    ),
    (
        "but never longer than the first attempt",
        guest(after(made(3, GRACE), owes_start=True), running=False, qmpstatus="stopped"),
        None,
    ),
    (
        "a start that was made after all does wait",
        after(made(2, GRACE + SECOND), owes_start=True),
        HoldReason.BACK_OFF,
    ),
    ("and is over", after(made(2, 2 * GRACE), owes_start=True), None),
]


@pytest.mark.parametrize(
    ("case", "reason"), [pytest.param(case, reason, id=name) for name, case, reason in ROWS]
)
def test_each_attempt_waits_twice_as_long(case: Case, reason: HoldReason | None) -> None:
    assert reason_of(case) is reason


def test_the_wait_says_when_it_is_over() -> None:
    assert decide(made(1, SECOND), NOW) == Hold(
        HoldReason.BACK_OFF, "attempt 1 was made; the next is not before 2026-03-01T12:04:59Z"
    )
