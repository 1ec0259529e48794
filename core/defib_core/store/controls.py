"""What people set through the API, the command line and kubectl: stops, pauses, clears, resets.

It lives here and never in somebody's spec; what a spec asks for is put in force from the mirror.
Each change is in the audit log, with who, when and why. Windows are in windows.py. States are
locked before pauses, as the sweep does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.config.system_config import SystemConfigSpec
from defib_core.domain.leaving import STOPPING, STOPPING_LASTS
from defib_core.store import audit as log
from defib_core.store import intents
from defib_core.store import windows as maintenance
from defib_core.store.audit import BY_ANNOTATION, BY_MANIFEST, AuditQuery, Deed, Who, audit_log
from defib_core.store.clock import has_come
from defib_core.store.intents import AlreadyAsked, AlreadyUnfinished, ManualRequest, Requested
from defib_core.store.rejections import record_rejection
from defib_core.store.windows import (
    Window,
    WindowWish,
    close_window,
    close_windows_but,
    listed_windows,
    open_window,
    windows,
)

__all__ = [
    "BY_ANNOTATION",
    "BY_MANIFEST",
    "AuditQuery",
    "Deed",
    "GlobalStop",
    "Pause",
    "Who",
    "Window",
    "WindowWish",
    "audit_log",
    "begin_global_stop",
    "clear",
    "close_window",
    "close_windows_but",
    "end_global_stop",
    "end_what_is_over",
    "follow_config",
    "follow_spec_pause",
    "global_stop",
    "global_stops",
    "held_by_ending",
    "last_stop_ended",
    "listed_windows",
    "open_window",
    "pause",
    "pause_of",
    "record_rejection",
    "request_reset",
    "unpause",
    "windows",
]

STOPPED = text("""
SELECT g.id, g.reason, g.started_by, g.started_at, g.config_id,
    c.namespace || '/' || c.name AS system_config
FROM global_stop g LEFT JOIN system_config c ON c.id = g.config_id
WHERE g.ended_at IS NULL ORDER BY g.id
""")
RETURNING = """
RETURNING (SELECT c.namespace || '/' || c.name FROM system_config c WHERE c.id = config_id)
    AS system_config
"""
STOP = text(f"""
INSERT INTO global_stop (config_id, reason, started_by, started_at)
VALUES (:config_id, :reason, :actor, :now)
ON CONFLICT DO NOTHING {RETURNING}
""")
STOP_FOR = text(f"""
UPDATE global_stop SET reason = :reason
WHERE ended_at IS NULL AND config_id = :config_id AND reason <> :reason {RETURNING}
""")
# Ended before it began, as the clock was set back: its end is what clocks start from, and is kept.
GO = text(f"""
UPDATE global_stop SET started_at = least(started_at, :now), ended_at = :now, ended_by = :actor
WHERE ended_at IS NULL AND config_id IS NOT DISTINCT FROM CAST(:config_id AS int) {RETURNING}
""")
LAST_STOP_ENDED = text(f"""
SELECT max(ended_at) FROM global_stop WHERE {has_come("ended_at", "defib_now()")}
""")

LOCK_VM = text("SELECT vm_id FROM vm_state WHERE vm_id = :vm_id FOR UPDATE")
END_PAUSE = text("""
UPDATE pause SET ended_at = greatest(:now, started_at), ended_by = :actor
WHERE vm_id = :vm_id AND ended_at IS NULL RETURNING id
""")
BEGIN_PAUSE = text("""
INSERT INTO pause (vm_id, reason, until, started_by, started_at)
VALUES (:vm_id, :reason, :until, :actor, :now)
""")
RESTART_CLOCK = text("UPDATE vm_state SET clock_floor = :now WHERE vm_id = :vm_id")
PAUSES = text("""
SELECT p.reason, p.until, p.started_by, p.started_at FROM pause p
WHERE p.vm_id = :vm_id AND p.ended_at IS NULL
""")
PAUSE_OVER = text("""
SELECT vm_id FROM pause WHERE ended_at IS NULL AND until <= :now
""")
END_PAUSES = text("""
WITH over AS (
    UPDATE pause SET ended_at = greatest(until, started_at), ended_by = 'its end'
    WHERE ended_at IS NULL AND until <= :now RETURNING vm_id, until
)
UPDATE vm_state s SET clock_floor = greatest(s.clock_floor, over.until)
FROM over WHERE s.vm_id = over.vm_id
""")
END_HOLDS = text("""
UPDATE hold h SET ended_at = greatest(:now, h.started_at)
FROM vm v JOIN vm_state s ON s.vm_id = v.id JOIN vm_paused z ON z.vm_id = v.id
WHERE v.id = h.vm_id AND h.ended_at IS NULL
  AND (h.reason = 'Paused' AND (z.reason IS NULL OR z.until <= :now)
       OR h.reason = 'GlobalStop'
          AND NOT EXISTS (SELECT FROM global_stop WHERE ended_at IS NULL)
       OR h.reason = 'Maintenance'
          AND NOT (s.status = :stopping AND s.last_heartbeat > :stopping_since)
          AND NOT EXISTS (
              SELECT FROM maintenance m
              WHERE m.closed_at IS NULL AND m.starts_at <= :now AND :now < m.ends_at
                AND v.labels @> m.selector
                AND (m.config_id IS NULL OR m.config_id = v.config_id)))
""")

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
let_go AS (
    UPDATE hold h SET ended_at = greatest(:now, h.started_at) FROM cleared
    WHERE h.vm_id = cleared.vm_id AND h.ended_at IS NULL AND h.reason = 'AttemptsExhausted'
),
queued AS (
    INSERT INTO status_outbox (vm_id) SELECT vm_id FROM cleared
)
SELECT vm_id FROM cleared
""")


@dataclass(frozen=True, slots=True)
class GlobalStop:
    """Why everything is stopped, since when, and by whom."""

    id: int
    reason: str
    started_by: str
    started_at: datetime
    config_id: int | None
    system_config: str | None
    """Namespace and name of the SystemConfig that asks for it; only that one ends it."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause as it is set: by hand (`started_by` says who), or by the spec."""

    reason: str
    until: datetime | None
    started_by: str | None = None
    started_at: datetime | None = None


# Everything at once


async def global_stops(connection: AsyncConnection) -> Sequence[GlobalStop]:
    """Read every stop in force, the first first: by hand, and each SystemConfig's."""
    return [GlobalStop(**row._mapping) for row in await connection.execute(STOPPED)]


async def global_stop(connection: AsyncConnection) -> GlobalStop | None:
    """Read whether everything is stopped."""
    return next(iter(await global_stops(connection)), None)


async def last_stop_ended(connection: AsyncConnection) -> datetime | None:
    """When a global stop last ended: every clock starts again there."""
    ended: datetime | None = (await connection.execute(LAST_STOP_ENDED)).scalar_one()
    return ended


async def begin_global_stop(
    connection: AsyncConnection,
    who: Who,
    reason: str,
    now: datetime,
    *,
    config_id: int | None = None,
) -> bool:
    """Stop everything; False where it is stopped already by the same means.

    `config_id` says that a SystemConfig asks for it; only that SystemConfig ends it.
    """
    bound = {"reason": reason, "actor": who.actor, "now": now, "config_id": config_id}
    begun = (await connection.execute(STOP, bound)).one_or_none()
    if begun is None and config_id is not None:
        begun = (await connection.execute(STOP_FOR, bound)).one_or_none()
    if begun is None:
        return False
    detail = {"reason": reason, "systemConfig": begun.system_config}
    await log.audit(connection, who, Deed.BEGIN_GLOBAL_STOP, now, detail=detail)
    return True


async def end_global_stop(
    connection: AsyncConnection,
    who: Who,
    now: datetime,
    *,
    config_id: int | None = None,
    reason: str | None = None,
) -> bool:
    """Let go again; False where nothing was stopped by this means."""
    bound = {"actor": who.actor, "now": now, "config_id": config_id}
    ended = (await connection.execute(GO, bound)).one_or_none()
    if ended is None:
        return False
    detail = {"reason": reason, "systemConfig": ended.system_config}
    await log.audit(connection, who, Deed.END_GLOBAL_STOP, now, detail=detail)
    return True


async def follow_config(
    connection: AsyncConnection, config_id: int, spec: SystemConfigSpec, now: datetime
) -> None:
    """Put in force the stop and the windows that a SystemConfig asks for; end what it dropped.

    Level-triggered: the same spec again changes nothing and is not audited again.
    """
    if spec.global_stop is None:
        await end_global_stop(connection, BY_MANIFEST, now, config_id=config_id)
    else:
        reason = spec.global_stop.reason
        await begin_global_stop(connection, BY_MANIFEST, reason, now, config_id=config_id)
    wanted = [one for one in spec.maintenance or () if one.ends_at > now]
    names = [one.name for one in wanted]
    await close_windows_but(connection, BY_MANIFEST, config_id, names, now)
    for one in wanted:
        wish = WindowWish(
            name=one.name,
            selector=one.match_labels,
            reason=one.reason,
            starts_at=one.starts_at,
            ends_at=one.ends_at,
            config_id=config_id,
        )
        await open_window(connection, BY_MANIFEST, wish, now)


# One VM


async def pause(  # noqa: PLR0917 - who, what, why, until when
    connection: AsyncConnection,
    who: Who,
    vm_id: int,
    reason: str,
    until: datetime | None,
    now: datetime,
) -> bool:
    """Pause a VM by hand, in the place of an earlier pause; False where there is no such VM."""
    bound = {"vm_id": vm_id, "actor": who.actor, "now": now}
    if (await connection.execute(LOCK_VM, bound)).scalar_one_or_none() is None:
        return False
    await connection.execute(END_PAUSE, bound)
    await connection.execute(BEGIN_PAUSE, {**bound, "reason": reason, "until": until})
    await log.audit(connection, who, Deed.PAUSE, now, vm_id, _pause_detail(reason, until))
    return True


async def unpause(
    connection: AsyncConnection,
    who: Who,
    vm_id: int,
    now: datetime,
    *,
    reason: str | None = None,
) -> bool:
    """End a pause set by hand; False where there is none. A pause of the spec stays."""
    bound = {"vm_id": vm_id, "actor": who.actor, "now": now}
    await connection.execute(LOCK_VM, bound)
    if (await connection.execute(END_PAUSE, bound)).scalar_one_or_none() is None:
        return False
    await connection.execute(RESTART_CLOCK, bound)
    await log.audit(connection, who, Deed.UNPAUSE, now, vm_id, {"reason": reason})
    return True


async def pause_of(connection: AsyncConnection, vm_id: int) -> Pause | None:
    """Read the pause of a VM that was set by hand; None where there is none."""
    row = (await connection.execute(PAUSES, {"vm_id": vm_id})).one_or_none()
    return None if row is None else Pause(**row._mapping)


async def follow_spec_pause(
    connection: AsyncConnection,
    vm_id: int,
    before: Pause | None,
    after: Pause | None,
    now: datetime,
) -> None:
    """Audit that the pause of a spec came, changed or went; the mirror puts it in force."""
    if before == after:
        return
    if after is None:
        await log.audit(connection, BY_MANIFEST, Deed.UNPAUSE, now, vm_id)
    else:
        detail = _pause_detail(after.reason, after.until)
        await log.audit(connection, BY_MANIFEST, Deed.PAUSE, now, vm_id, detail)


def _pause_detail(reason: str, until: datetime | None) -> dict[str, Any]:
    return {"reason": reason, "until": None if until is None else until.isoformat()}


async def clear(
    connection: AsyncConnection,
    who: Who,
    vm_id: int,
    now: datetime,
    *,
    reason: str | None = None,
    request_key: str | None = None,
) -> bool:
    """Set a VM's counter to 0 and start its clock again.

    False where there is no such VM, or where this was done before for the same request_key.
    """
    bound = {"vm_id": vm_id, "now": now}
    await connection.execute(LOCK_VM, bound)
    if request_key is not None and await log.was_done(connection, vm_id, Deed.CLEAR, request_key):
        return False
    done = (await connection.execute(CLEAR, bound)).scalar_one_or_none() is not None
    if done:
        detail = {"reason": reason, "requestKey": request_key}
        await log.audit(connection, who, Deed.CLEAR, now, vm_id, detail)
    return done


async def request_reset(
    connection: AsyncConnection, request: ManualRequest, now: datetime
) -> Requested | AlreadyUnfinished | AlreadyAsked | None:
    """Write a person's request for a reset down, and into the audit log; see intents.py."""
    result = await intents.request_manual(connection, request, now)
    if isinstance(result, Requested):
        who = Who(request.actor, request.source)
        detail = {
            "reason": request.reason,
            "force": request.forced or None,
            "resetId": result.intent_id,
        }
        await log.audit(connection, who, Deed.RESET, now, request.vm_id, detail)
    return result


# What ends by itself


async def held_by_ending(connection: AsyncConnection, now: datetime) -> Sequence[int]:
    """Find the VMs whose pause or window is over and not ended yet, for the sweep to lock."""
    paused = [int(row.vm_id) for row in await connection.execute(PAUSE_OVER, {"now": now})]
    return [*paused, *await maintenance.held_by_ending(connection, now)]


async def end_what_is_over(connection: AsyncConnection, now: datetime) -> None:
    """End pauses and windows whose time has come; the clocks of their VMs start again there.

    A hold whose reason is over ends with it. The sweep has locked the states.
    """
    await connection.execute(END_PAUSES, {"now": now})
    await maintenance.close_what_is_over(connection, now)
    stopping = {"stopping": STOPPING, "stopping_since": now - STOPPING_LASTS}
    await connection.execute(END_HOLDS, {"now": now, **stopping})
