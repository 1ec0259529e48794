"""Which action a VM gets that may be reset."""

import pytest

from defib_core.domain.actions import Action, PowerStep, steps_of
from defib_core.domain.decide import Act, Case, decide
from defib_core.domain.policy import action_for_attempt
from support.cases import NOW, RESETTABLE, after, guest, treated

STOPPED_BY_US = guest(after(owes_start=True), running=False, qmpstatus="stopped", started_at=None)

ROWS: list[tuple[str, Case, Action]] = [
    ("the first attempt", RESETTABLE, Action.RESET),
    ("the second attempt", after(attempts=1), Action.RESET),
    ("the third attempt", after(attempts=2), Action.STOP_START),
    (
        "beyond the steps the last repeats",
        after(treated(max_attempts=9), attempts=7),
        Action.STOP_START,
    ),
    ("steps of its own", treated(steps=(Action.STOP_START,)), Action.STOP_START),
    ("no steps", treated(steps=()), Action.RESET),
    ("a reset would switch it off", guest(reset_switches_off=True), Action.STOP_START),
    ("the third attempt under HA", guest(after(attempts=2), ha_state="started"), Action.RESET),
    (
        "the third where HA ignores it",
        guest(after(attempts=2), ha_state="ignored"),
        Action.STOP_START,
    ),
    ("switches off, under HA", guest(reset_switches_off=True, ha_state="started"), Action.RESET),
    ("internal error", guest(qmpstatus="internal-error"), Action.RESET_RESUME),
    ("a panic", guest(qmpstatus="guest-panicked"), Action.RESET_RESUME),
    ("a watchdog that pauses", guest(qmpstatus="watchdog"), Action.RESET_RESUME),
    ("shut down, QEMU waiting", guest(qmpstatus="shutdown"), Action.RESET_RESUME),
    ("full storage", guest(qmpstatus="io-error"), Action.RESUME),
    (
        "full storage at the third attempt",
        guest(after(attempts=2), qmpstatus="io-error"),
        Action.RESUME,
    ),
    ("stopped by us", STOPPED_BY_US, Action.STOP_START),
    ("started after all", after(owes_start=True), Action.RESET),
]


@pytest.mark.parametrize(
    ("case", "action"), [pytest.param(case, action, id=name) for name, case, action in ROWS]
)
def test_the_action_fits_the_guest(case: Case, action: Action) -> None:
    assert decide(case, NOW) == Act(action)


def test_each_action_is_one_or_two_posts() -> None:
    assert {action: steps_of(action) for action in Action} == {
        Action.RESET: (PowerStep.RESET,),
        Action.STOP_START: (PowerStep.STOP, PowerStep.START),
        Action.RESET_RESUME: (PowerStep.RESET, PowerStep.RESUME),
        Action.RESUME: (PowerStep.RESUME,),
    }


def test_the_last_step_repeats() -> None:
    steps = (Action.RESET, Action.STOP_START)
    chosen = [action_for_attempt(attempt, steps) for attempt in (1, 2, 3, 100)]
    assert chosen == [Action.RESET, Action.STOP_START, Action.STOP_START, Action.STOP_START]
