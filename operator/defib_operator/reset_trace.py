"""A reset as one trace: which trace an intent has, and what is told of its end."""

from datetime import datetime

from defib_core.domain.actions import Phase
from defib_core.store.execution import Intent
from defib_core.tracing import spans
from defib_core.tracing.spans import ResetTrace

FAILED = frozenset({Phase.FAILED, Phase.UNKNOWN})


def trace_of(intent: Intent) -> ResetTrace:
    """Name the trace of an intent."""
    return ResetTrace(intent.id, intent.requested_at)


def tell_waited(intent: Intent, now: datetime) -> None:
    """Tell how long it took from the decision to the POST, by the database's clock."""
    spans.told(trace_of(intent), "requested", (intent.requested_at, now))


def tell_end(intent: Intent, phase: Phase, now: datetime, *, reason: str = "") -> None:
    """Tell that an intent has ended; `reason` is the code of what cancelled it."""
    spans.told(
        trace_of(intent),
        spans.RESET,
        (intent.requested_at, now),
        failed=phase in FAILED,
        intent=intent.id,
        vm=intent.vm_id,
        action=intent.action.value,
        source=intent.source.value,
        outcome=phase.value,
        **({"reason": reason} if reason else {}),
    )
