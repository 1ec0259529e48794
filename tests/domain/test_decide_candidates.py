"""Who is judged at all: down, silent for longer than its timeout, and nothing on its way."""

from datetime import timedelta

import pytest

from defib_core.domain.actions import Action
from defib_core.domain.decide import Act, Case, Look, Verdict, Wait, decide
from defib_core.domain.states import State
from support.cases import NOW, RESETTABLE, SECOND, STALE_TIMEOUT, after, guest, manual, policy, seen

SILENT_AT_LIMIT = NOW - STALE_TIMEOUT
RESET = Act(Action.RESET)


def verdict_is(*rows: tuple[str, Case, Verdict]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("case", "expected"), [pytest.param(case, verdict, id=name) for name, case, verdict in rows]
    )


@verdict_is(
    ("dead and free to be reset", RESETTABLE, RESET),
    ("healthy", seen(state=State.HEALTHY), Wait()),
    ("warning", seen(state=State.WARNING), Wait()),
    ("never reported", seen(state=State.UNKNOWN, last_heartbeat=None), Wait()),
    ("an intent is on its way", after(unfinished=True), Wait()),
    ("not looked at yet", seen(guest=None), Look()),
)
def test_only_a_vm_that_is_down_is_judged(case: Case, expected: Verdict) -> None:
    assert decide(case, NOW) == expected


@verdict_is(
    ("a second before the timeout", seen(last_heartbeat=SILENT_AT_LIMIT + SECOND), Wait()),
    ("exactly at the timeout", seen(last_heartbeat=SILENT_AT_LIMIT), Wait()),
    ("a second after the timeout", seen(last_heartbeat=SILENT_AT_LIMIT - SECOND), RESET),
    ("the floor a second before", seen(clock_floor=SILENT_AT_LIMIT + SECOND), Wait()),
    ("the floor exactly at it", seen(clock_floor=SILENT_AT_LIMIT), Wait()),
    ("the floor a second after", seen(clock_floor=SILENT_AT_LIMIT - SECOND), RESET),
    ("the floor in the future", seen(clock_floor=NOW + timedelta(hours=1)), Wait()),
    ("its own longer timeout", seen(stale_timeout=timedelta(minutes=10)), Wait()),
)
def test_floored_silence_must_exceed_the_timeout(case: Case, expected: Verdict) -> None:
    assert decide(case, NOW) == expected


@verdict_is(
    (
        "started a second less than a timeout ago",
        guest(started_at=SILENT_AT_LIMIT + SECOND),
        Wait(),
    ),
    ("started exactly a timeout ago", guest(started_at=SILENT_AT_LIMIT), Wait()),
    ("started a second more than a timeout ago", guest(started_at=SILENT_AT_LIMIT - SECOND), RESET),
    ("nobody knows when it was started", guest(started_at=None), RESET),
)
def test_a_guest_that_was_switched_on_has_a_full_timeout_to_report(
    case: Case, expected: Verdict
) -> None:
    assert decide(case, NOW) == expected


@verdict_is(
    ("the dry run is to be recorded", policy(dry_run=True), RESET),
    ("it is recorded", after(policy(dry_run=True), dry_run_done=True), Wait()),
    ("dry runs are over", after(dry_run_done=True), RESET),
    ("a person asks", manual(after(policy(dry_run=True), dry_run_done=True)), RESET),
)
def test_a_dry_run_is_recorded_once_an_incident(case: Case, expected: Verdict) -> None:
    assert decide(case, NOW) == expected
