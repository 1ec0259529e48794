"""What people set through the API and the command line: the global stop, pauses, windows, clears.

It lives here and never in somebody's spec. Each change is in the audit log, with who, when and why.
"""

from collections.abc import Mapping, Sequence
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

STOPPED = text("""
SELECT reason, started_by, started_at FROM global_stop WHERE ended_at IS NULL ORDER BY id LIMIT 1
""")
STOP = text("""
INSERT INTO global_stop (config_id, reason, started_by, started_at)
VALUES (:config_id, :reason, :actor, :now)
ON CONFLICT DO NOTHING RETURNING id
""")
GO = text("""
UPDATE global_stop SET ended_at = greatest(:now, started_at), ended_by = :actor
WHERE ended_at IS NULL AND config_id IS NOT DISTINCT FROM CAST(:config_id AS int) RETURNING id
""")
LAST_STOP_ENDED = text("SELECT max(ended_at) FROM global_stop")

PAUSE = text("""
WITH before AS (
    UPDATE pause SET ended_at = greatest(:now, started_at), ended_by = :actor
    WHERE vm_id = :vm_id AND ended_at IS NULL
)
SELECT id FROM vm WHERE id = :vm_id
""")
BEGIN_PAUSE = text("""
INSERT INTO pause (vm_id, reason, until, started_by, started_at)
VALUES (:vm_id, :reason, :until, :actor, :now)
""")
UNPAUSE = text("""
WITH ended AS (
    UPDATE pause SET ended_at = greatest(:now, started_at), ended_by = :actor
    WHERE vm_id = :vm_id AND ended_at IS NULL RETURNING vm_id
)
UPDATE vm_state s SET clock_floor = :now FROM ended WHERE s.vm_id = ended.vm_id
RETURNING s.vm_id
""")
END_PAUSES = text("""
WITH over AS (
    UPDATE pause SET ended_at = greatest(until, started_at), ended_by = 'its end'
    WHERE ended_at IS NULL AND until <= :now RETURNING vm_id, until
)
UPDATE vm_state s SET clock_floor = greatest(s.clock_floor, over.until)
FROM over WHERE s.vm_id = over.vm_id
""")

OPEN_WINDOW = text("""
INSERT INTO maintenance (config_id, name, selector, reason, starts_at, ends_at, created_by,
                         created_at)
VALUES (:config_id, :name, :selector, :reason, :starts_at, :ends_at, :actor, :now)
ON CONFLICT (coalesce(config_id, 0), name) WHERE closed_at IS NULL DO UPDATE SET
    selector = excluded.selector, reason = excluded.reason, starts_at = excluded.starts_at,
    ends_at = excluded.ends_at
RETURNING id
""").bindparams(bindparam("selector", type_=JSONB))
WINDOWS = text("""
SELECT id, config_id, name, selector, reason, starts_at, ends_at, created_by FROM maintenance
WHERE closed_at IS NULL ORDER BY starts_at, id
""")
CLOSE_WINDOWS = """
WITH closed AS (
    UPDATE maintenance SET closed_at = greatest(created_at, least(ends_at, :now))
    WHERE closed_at IS NULL AND {which}
    RETURNING config_id, selector, starts_at, closed_at
),
touched AS (
    SELECT v.id AS vm_id, max(c.closed_at) AS at FROM closed c
    JOIN vm v ON v.labels @> c.selector
             AND (c.config_id IS NULL OR v.config_id = c.config_id)
    WHERE c.starts_at < c.closed_at
    GROUP BY v.id
),
restarted AS (
    UPDATE vm_state s SET clock_floor = greatest(s.clock_floor, touched.at)
    FROM touched WHERE s.vm_id = touched.vm_id
)
SELECT count(*) FROM closed
"""
CLOSE_OVER = text(CLOSE_WINDOWS.format(which="ends_at <= :now"))
CLOSE_ONE = text(CLOSE_WINDOWS.format(which="id = :window_id"))
CLOSE_UNNAMED = text(
    CLOSE_WINDOWS.format(which="config_id = :config_id AND name <> ALL (CAST(:names AS text[]))")
)

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
    begun = (await connection.execute(STOP, bound)).scalar_one_or_none() is not None
    if begun:
        await audit(connection, who, "BeginGlobalStop", now, detail={"reason": reason})
    return begun


async def end_global_stop(
    connection: AsyncConnection, who: Who, now: datetime, *, config_id: int | None = None
) -> bool:
    """Let go again; False where nothing was stopped by this means."""
    ended = (
        await connection.execute(GO, {"actor": who.actor, "now": now, "config_id": config_id})
    ).scalar_one_or_none() is not None
    if ended:
        await audit(connection, who, "EndGlobalStop", now)
    return ended


@dataclass(frozen=True, slots=True)
class Window:
    """A maintenance window: VMs with all these labels are not reset while it lasts."""

    id: int
    config_id: int | None
    """The SystemConfig whose VMs it is for; None: all VMs."""
    name: str
    selector: Mapping[str, str]
    reason: str
    starts_at: datetime
    ends_at: datetime
    created_by: str

    def holds(self, labels: Mapping[str, str], config_id: int, now: datetime) -> bool:
        """Say whether a VM is in maintenance by this window now."""
        return (
            self.starts_at <= now < self.ends_at
            and self.config_id in (None, config_id)
            and all(labels.get(key) == value for key, value in self.selector.items())
        )


@dataclass(frozen=True, slots=True)
class WindowWish:
    """A maintenance window as somebody asks for it; its name makes asking again a change."""

    name: str
    selector: Mapping[str, str]
    reason: str
    starts_at: datetime
    ends_at: datetime
    config_id: int | None = None


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
    if (await connection.execute(PAUSE, bound)).scalar_one_or_none() is None:
        return False
    await connection.execute(BEGIN_PAUSE, {**bound, "reason": reason, "until": until})
    detail = {"reason": reason, "until": None if until is None else until.isoformat()}
    await audit(connection, who, "Pause", now, vm_id=vm_id, detail=detail)
    return True


async def unpause(connection: AsyncConnection, who: Who, vm_id: int, now: datetime) -> bool:
    """End a pause set by hand; False where there is none. A pause of the spec stays."""
    ended = await connection.execute(UNPAUSE, {"vm_id": vm_id, "actor": who.actor, "now": now})
    if ended.scalar_one_or_none() is None:
        return False
    await audit(connection, who, "Unpause", now, vm_id=vm_id)
    return True


async def open_window(
    connection: AsyncConnection, who: Who, wish: WindowWish, now: datetime
) -> int:
    """Open a maintenance window, or change the open one of that name; return its id."""
    bound = {
        "config_id": wish.config_id,
        "name": wish.name,
        "selector": dict(wish.selector),
        "reason": wish.reason,
        "starts_at": wish.starts_at,
        "ends_at": wish.ends_at,
        "actor": who.actor,
        "now": now,
    }
    window_id = int((await connection.execute(OPEN_WINDOW, bound)).scalar_one())
    detail = {
        "name": wish.name,
        "selector": dict(wish.selector),
        "reason": wish.reason,
        "from": wish.starts_at.isoformat(),
        "until": wish.ends_at.isoformat(),
    }
    await audit(connection, who, "OpenMaintenance", now, detail=detail)
    return window_id


async def windows(connection: AsyncConnection) -> Sequence[Window]:
    """Read every window that is not over."""
    return [Window(**row._mapping) for row in await connection.execute(WINDOWS)]


async def close_window(
    connection: AsyncConnection, who: Who, window_id: int, now: datetime
) -> bool:
    """End a window now; its VMs get a full timeout from here. False where there is none open."""
    bound = {"window_id": window_id, "now": now}
    if not (await connection.execute(CLOSE_ONE, bound)).scalar_one():
        return False
    await audit(connection, who, "CloseMaintenance", now, detail={"id": window_id})
    return True


async def close_windows_but(
    connection: AsyncConnection, config_id: int, names: Sequence[str], now: datetime
) -> None:
    """End the windows of a SystemConfig that it does not name any more."""
    bound = {"config_id": config_id, "names": list(names), "now": now}
    await connection.execute(CLOSE_UNNAMED, bound)


async def end_what_is_over(connection: AsyncConnection, now: datetime) -> None:
    """End pauses and windows whose time has come; the clocks of their VMs start again there."""
    await connection.execute(END_PAUSES, {"now": now})
    await connection.execute(CLOSE_OVER, {"now": now})


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
