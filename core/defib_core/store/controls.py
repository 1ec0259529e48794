"""What people set through the API and the command line: the global stop, pauses, windows, clears.

It lives here and never in somebody's spec. Each change is in the audit log, with who, when and why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.actions import Source


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, and by which way."""

    actor: str
    source: Source


AUDIT = text("""
INSERT INTO audit (at, actor, source, action, vm_id, detail)
VALUES (:now, :actor, :source, :action, :vm_id, :detail)
""").bindparams(bindparam("detail", type_=JSONB))

STOPPED = text("SELECT reason, started_by, started_at FROM global_stop WHERE ended_at IS NULL")
STOP = text("""
INSERT INTO global_stop (reason, started_by, started_at) VALUES (:reason, :actor, :now)
ON CONFLICT DO NOTHING RETURNING id
""")
GO = text("""
UPDATE global_stop SET ended_at = greatest(:now, started_at), ended_by = :actor
WHERE ended_at IS NULL RETURNING id
""")
LAST_STOP_ENDED = text("SELECT max(ended_at) FROM global_stop")

CLEAR = text("""
WITH cleared AS (
    UPDATE vm_state s SET
        state = CASE WHEN s.state = 'reset_failed' THEN 'down' ELSE s.state END,
        state_since = CASE WHEN s.state = 'reset_failed' THEN :now ELSE s.state_since END,
        reset_attempts = 0, last_attempt_at = NULL, clock_floor = :now
    FROM vm_state old
    WHERE s.vm_id = :vm_id AND old.vm_id = s.vm_id
    RETURNING s.vm_id, old.state AS from_state, s.state AS to_state
),
moved AS (
    INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)
    SELECT vm_id, :now, from_state, to_state, 'Cleared' FROM cleared
    WHERE from_state <> to_state
),
queued AS (
    INSERT INTO status_outbox (vm_id) SELECT vm_id FROM cleared
)
SELECT vm_id FROM cleared
""")

REJECTED = text("""
INSERT INTO report_rejection (vm_id, at, reason) VALUES (:vm_id, :now, :reason)
ON CONFLICT (vm_id) DO UPDATE SET at = excluded.at, reason = excluded.reason
""")


@dataclass(frozen=True, slots=True)
class GlobalStop:
    """Why everything is stopped, since when, and by whom."""

    reason: str
    started_by: str
    started_at: datetime


async def audit(  # noqa: PLR0917 - a row
    connection: AsyncConnection,
    who: Who,
    action: str,
    now: datetime,
    vm_id: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down what somebody did."""
    await connection.execute(
        AUDIT,
        {
            "now": now,
            "actor": who.actor,
            "source": who.source.value,
            "action": action,
            "vm_id": vm_id,
            "detail": dict(detail or {}),
        },
    )


async def global_stop(connection: AsyncConnection) -> GlobalStop | None:
    """Read whether everything is stopped."""
    row = (await connection.execute(STOPPED)).one_or_none()
    return None if row is None else GlobalStop(row.reason, row.started_by, row.started_at)


async def last_stop_ended(connection: AsyncConnection) -> datetime | None:
    """When a global stop last ended: every clock starts again there."""
    ended: datetime | None = (await connection.execute(LAST_STOP_ENDED)).scalar_one()
    return ended


async def begin_global_stop(
    connection: AsyncConnection, who: Who, reason: str, now: datetime
) -> bool:
    """Stop everything; False where it is stopped already."""
    bound = {"reason": reason, "actor": who.actor, "now": now}
    begun = (await connection.execute(STOP, bound)).scalar_one_or_none() is not None
    if begun:
        await audit(connection, who, "BeginGlobalStop", now, detail={"reason": reason})
    return begun


async def end_global_stop(connection: AsyncConnection, who: Who, now: datetime) -> bool:
    """Let go again; False where nothing was stopped."""
    ended = (
        await connection.execute(GO, {"actor": who.actor, "now": now})
    ).scalar_one_or_none() is not None
    if ended:
        await audit(connection, who, "EndGlobalStop", now)
    return ended


async def clear(connection: AsyncConnection, who: Who, vm_id: int, now: datetime) -> bool:
    """Set a VM's counter to 0 and start its clock again; False where there is no such VM."""
    done = (
        await connection.execute(CLEAR, {"vm_id": vm_id, "now": now})
    ).scalar_one_or_none() is not None
    if done:
        await audit(connection, who, "Clear", now, vm_id=vm_id)
    return done


async def record_rejection(
    connection: AsyncConnection, vm_id: int, reason: str, now: datetime
) -> None:
    """Note that a report of this VM was refused or shed: it is alive, though it is not heard."""
    await connection.execute(REJECTED, {"vm_id": vm_id, "reason": reason, "now": now})
