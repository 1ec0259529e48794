"""The second group of reasons: Defib cannot hear, or nobody could stop it."""

from datetime import timedelta

import pytest

from defib_core.domain.decide import Case
from defib_core.domain.reasons import HoldReason
from support.cases import NOW, SECOND, around, manual, reason_of, safety

STALE = timedelta(seconds=120)

ROWS: list[tuple[str, Case, HoldReason | None]] = [
    (
        "no report can be stored",
        around(ingest_blind_since=NOW - timedelta(seconds=16)),
        HoldReason.INGEST_BLIND,
    ),
    (
        "Kubernetes heard a second less than the limit ago",
        around(control_plane_heard_at=NOW - STALE + SECOND),
        None,
    ),
    ("Kubernetes heard exactly the limit ago", around(control_plane_heard_at=NOW - STALE), None),
    (
        "Kubernetes heard a second more than the limit ago",
        around(control_plane_heard_at=NOW - STALE - SECOND),
        HoldReason.CONTROL_PLANE_STALE,
    ),
    (
        "Kubernetes never heard",
        around(control_plane_heard_at=None),
        HoldReason.CONTROL_PLANE_STALE,
    ),
    (
        "a fleet with more patience",
        around(
            safety(control_plane_stale=timedelta(hours=1)),
            control_plane_heard_at=NOW - timedelta(minutes=59),
        ),
        None,
    ),
    (
        "its reports are refused: it is alive",
        around(reports_rejected="its key was revoked"),
        HoldReason.REPORTS_REJECTED,
    ),
    (
        "a person asks while no report can be stored",
        manual(around(ingest_blind_since=NOW)),
        None,
    ),
    (
        "a person asks while Kubernetes is away",
        manual(around(control_plane_heard_at=None)),
        None,
    ),
    ("a person asks while its reports are refused", manual(around(reports_rejected="x")), None),
]


@pytest.mark.parametrize(
    ("case", "reason"), [pytest.param(case, reason, id=name) for name, case, reason in ROWS]
)
def test_what_cannot_hear_does_not_reset(case: Case, reason: HoldReason | None) -> None:
    assert reason_of(case) is reason
