"""The last things that were decided about a VM, or happened to it: resets, holds, transitions."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.explain_words import at
from defib_core.domain.explanation import Decision

OF_EACH = 10
SHOWN = 20

TRANSITIONS = text("""
SELECT at, from_state, to_state, reason FROM vm_transition
WHERE vm_id = :vm_id ORDER BY id DESC LIMIT :limit
""")
HOLDS = text("""
SELECT started_at, ended_at, reason, message FROM hold
WHERE vm_id = :vm_id ORDER BY id DESC LIMIT :limit
""")
RESETS = text("""
SELECT id, phase, action, source, actor, reason, attempt, forced, error, cancelled_by, decision,
    requested_at, finished_at, recovered_at
FROM reset_history WHERE vm_id = :vm_id ORDER BY id DESC LIMIT :limit
""")
OUTCOMES = {
    "requested": "not sent yet",
    "sending": "being sent",
    "sent": "sent, and not finished",
    "succeeded": "carried out by Proxmox",
    "failed": "failed at Proxmox",
    "unknown": "its outcome is unknown",
    "dry_run": "only recorded (dryRun)",
    "cancelled": "not sent",
}


async def last_decisions(connection: AsyncConnection, vm_id: int) -> Sequence[Decision]:
    """Read them, newest first."""
    bound = {"vm_id": vm_id, "limit": OF_EACH}
    found = [
        *[_transition(row) for row in await connection.execute(TRANSITIONS, bound)],
        *[_hold(row) for row in await connection.execute(HOLDS, bound)],
        *[_reset(row) for row in await connection.execute(RESETS, bound)],
    ]
    return sorted(found, key=lambda one: one.at, reverse=True)[:SHOWN]


def _transition(row: Row[Any]) -> Decision:
    return Decision(row.at, "transition", f"{row.from_state} -> {row.to_state}: {row.reason}")


def _hold(row: Row[Any]) -> Decision:
    still = " (still)" if row.ended_at is None else ""
    message = f"not reset{still}: {row.reason}, {row.message}"
    return Decision(row.started_at, "hold", message, until=row.ended_at)


def _reset(row: Row[Any]) -> Decision:
    why = f" ({row.cancelled_by}: {row.error})" if row.cancelled_by else ""
    failed = f" ({row.error})" if row.error and not row.cancelled_by else ""
    proven = f"; a heartbeat proved it at {at(row.recovered_at)}" if row.recovered_at else ""
    forced = ", forced" if row.forced else ""
    asked = f"{row.action}, attempt {row.attempt}{forced}, by {row.actor}: {row.reason}"
    message = f"{asked}; {OUTCOMES[row.phase]}{why}{failed}{proven}"
    detail = {"resetId": f"reset_{row.id}", "phase": row.phase, "decision": row.decision}
    return Decision(row.requested_at, "reset", message, until=row.finished_at, detail=detail)
