"""How a condition joins the ones an object has."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from defib_core.config.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    ReadyReason,
    merge_condition,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def ready(
    status: ConditionStatus,
    at: datetime,
    *,
    reason: ReadyReason = ReadyReason.MONITORED,
    message: str = "watched",
) -> Condition:
    return Condition(
        type=ConditionType.READY,
        status=status,
        reason=reason,
        message=message,
        at=at,
        observed_generation=3,
    )


def test_the_first_condition_is_added() -> None:
    merged = merge_condition([], ready(ConditionStatus.TRUE, NOON))

    assert merged == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Monitored",
            "message": "watched",
            "lastTransitionTime": "2026-01-31T12:00:00Z",
            "observedGeneration": 3,
        }
    ]


def test_the_transition_time_stays_while_the_status_does() -> None:
    before = merge_condition([], ready(ConditionStatus.FALSE, NOON, reason=ReadyReason.CONFLICT))

    (after,) = merge_condition(
        before, ready(ConditionStatus.FALSE, LATER, reason=ReadyReason.NOT_QEMU, message="an LXC")
    )

    assert after["lastTransitionTime"] == "2026-01-31T12:00:00Z"
    assert (after["reason"], after["message"]) == ("NotQemu", "an LXC")


def test_the_transition_time_moves_when_the_status_flips() -> None:
    before = merge_condition([], ready(ConditionStatus.UNKNOWN, NOON))

    (after,) = merge_condition(before, ready(ConditionStatus.TRUE, LATER))

    assert after["lastTransitionTime"] == "2026-01-31T13:00:00Z"


def test_a_broken_condition_without_a_time_gets_one() -> None:
    (after,) = merge_condition(
        [{"type": "Ready", "status": "True"}], ready(ConditionStatus.TRUE, NOON)
    )

    assert after["lastTransitionTime"] == "2026-01-31T12:00:00Z"


def test_times_are_written_in_utc() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))

    assert ready(ConditionStatus.TRUE, elsewhere).to_dict()["lastTransitionTime"] == (
        "2026-01-31T12:00:00Z"
    )


def test_the_old_list_is_left_as_it_was() -> None:
    old = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]

    merge_condition(old, ready(ConditionStatus.FALSE, NOON))

    assert old == [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ]


@given(
    types=st.lists(st.sampled_from([*ConditionType]), max_size=8),
    status=st.sampled_from([*ConditionStatus]),
)
def test_others_keep_their_place_and_each_type_stands_once(
    types: list[ConditionType], status: ConditionStatus
) -> None:
    merged: list[dict[str, Any]] = []
    for kind in types:
        given_one = Condition(type=kind, status=status, reason="Word", message="", at=NOON)
        merged = merge_condition(merged, given_one)

    assert [one["type"] for one in merged] == [str(kind) for kind in dict.fromkeys(types)]
