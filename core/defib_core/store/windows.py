"""Maintenance windows: VMs with certain labels are not reset while one lasts.

A window is closed, by hand or when its time has come, exactly once, and in the same transaction the
clocks of its VMs start again. States are locked in the order of their ids, all that are due before
the window itself, as every other writer does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.audit import Deed, Who, audit


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

    def selects(self, labels: Mapping[str, str], config_id: int) -> bool:
        """Say whether it is for a VM."""
        return self.config_id in (None, config_id) and all(
            labels.get(key) == value for key, value in self.selector.items()
        )

    def holds(self, labels: Mapping[str, str], config_id: int, now: datetime) -> bool:
        """Say whether a VM is in maintenance by this window now."""
        return self.starts_at <= now < self.ends_at and self.selects(labels, config_id)


@dataclass(frozen=True, slots=True)
class WindowWish:
    """A maintenance window as somebody asks for it; its name makes asking again a change."""

    name: str
    selector: Mapping[str, str]
    reason: str
    starts_at: datetime
    ends_at: datetime
    config_id: int | None = None

    def is_what(self, window: Window) -> bool:
        """True where an open window is just this."""
        return (
            (self.name, self.config_id) == (window.name, window.config_id)
            and (dict(self.selector), self.reason) == (dict(window.selector), window.reason)
            and (self.starts_at, self.ends_at) == (window.starts_at, window.ends_at)
        )


@dataclass(frozen=True, slots=True)
class ListedWindow:
    """A window that is not over, and how many VMs it is for."""

    window: Window
    system_config: str | None
    """Namespace and name of the SystemConfig that asks for it."""
    vms: int


COLUMNS = """
SELECT m.id, m.config_id, m.name, m.selector, m.reason, m.starts_at, m.ends_at, m.created_by
"""
OPEN_ONES = text(f"{COLUMNS} FROM maintenance m WHERE m.closed_at IS NULL ORDER BY starts_at, id")
LISTED = text(f"""
{COLUMNS}, c.namespace || '/' || c.name AS system_config,
    (SELECT count(*) FROM vm v WHERE v.labels @> m.selector AND v.uid IS NOT NULL
     AND (m.config_id IS NULL OR v.config_id = m.config_id)) AS vms
FROM maintenance m LEFT JOIN system_config c ON c.id = m.config_id
WHERE m.closed_at IS NULL ORDER BY m.starts_at, m.id
""")
NAMED = text(f"""
{COLUMNS} FROM maintenance m
WHERE m.closed_at IS NULL AND m.name = :name
  AND m.config_id IS NOT DISTINCT FROM CAST(:config_id AS int)
""")
OPEN = text("""
INSERT INTO maintenance (config_id, name, selector, reason, starts_at, ends_at, created_by,
                         created_at)
VALUES (:config_id, :name, :selector, :reason, :starts_at, :ends_at, :actor, :now)
ON CONFLICT (coalesce(config_id, 0), name) WHERE closed_at IS NULL DO UPDATE SET
    selector = excluded.selector, reason = excluded.reason, starts_at = excluded.starts_at,
    ends_at = excluded.ends_at
RETURNING id
""").bindparams(bindparam("selector", type_=JSONB))

HELD = """
SELECT s.vm_id FROM vm_state s
WHERE s.vm_id IN (
    SELECT v.id FROM maintenance m
    JOIN vm v ON v.labels @> m.selector AND (m.config_id IS NULL OR v.config_id = m.config_id)
    WHERE m.closed_at IS NULL AND {which} AND m.starts_at < least(m.ends_at, :now))
"""
IN_ORDER = " ORDER BY s.vm_id FOR UPDATE OF s"
OVER = "m.ends_at <= :now"
ONE = "m.id = :window_id"
UNNAMED = """
m.config_id = :config_id AND m.ends_at > :now AND m.name <> ALL (CAST(:names AS text[]))
"""

RESTART = """
WITH touched AS (
    SELECT v.id AS vm_id, max(least(m.ends_at, :now)) AS at
    FROM maintenance m
    JOIN vm v ON v.labels @> m.selector AND (m.config_id IS NULL OR v.config_id = m.config_id)
    WHERE m.closed_at IS NULL AND {which} AND m.starts_at < least(m.ends_at, :now)
    GROUP BY v.id
)
UPDATE vm_state s SET clock_floor = greatest(s.clock_floor, touched.at)
FROM touched WHERE s.vm_id = touched.vm_id
"""
CLOSE = """
UPDATE maintenance m SET closed_at = greatest(m.created_at, least(m.ends_at, :now))
WHERE m.closed_at IS NULL AND {which}
RETURNING m.name
"""
LEAVES_ONE = """
EXISTS (
    SELECT FROM maintenance m
    WHERE m.closed_at IS NULL AND m.starts_at <= :now AND :now < m.ends_at
      AND v.labels @> m.selector AND (m.config_id IS NULL OR m.config_id = v.config_id)
      AND NOT (CAST(:labels AS jsonb) @> m.selector
               AND (m.config_id IS NULL OR m.config_id = :config_id)))
"""
"""A predicate on `vm v`: new labels or a new config take the VM out of a window that lasts."""


async def windows(connection: AsyncConnection) -> Sequence[Window]:
    """Read every window that is not over."""
    return [_window(row) for row in await connection.execute(OPEN_ONES)]


async def listed_windows(connection: AsyncConnection) -> Sequence[ListedWindow]:
    """Read every window that is not over, for people."""
    rows = await connection.execute(LISTED)
    return [ListedWindow(_window(row), row.system_config, row.vms) for row in rows]


def _window(row: Row[Any]) -> Window:
    return Window(**{name: getattr(row, name) for name in Window.__dataclass_fields__})


async def open_window(
    connection: AsyncConnection, who: Who, wish: WindowWish, now: datetime
) -> int:
    """Open a maintenance window, or change the open one of that name; return its id.

    The same again changes nothing. A changed window may let VMs go: their clocks start again.
    """
    named = {"name": wish.name, "config_id": wish.config_id}
    row = (await connection.execute(NAMED, named)).one_or_none()
    if row is not None:
        if wish.is_what(_window(row)):
            return int(row.id)
        await _restart(connection, ONE, {"window_id": row.id, "now": now})
    bound = {
        **named,
        "selector": dict(wish.selector),
        "reason": wish.reason,
        "starts_at": wish.starts_at,
        "ends_at": wish.ends_at,
        "actor": who.actor,
        "now": now,
    }
    window_id = int((await connection.execute(OPEN, bound)).scalar_one())
    await audit(connection, who, Deed.OPEN_MAINTENANCE, now, detail=_detail(wish, window_id))
    return window_id


def _detail(wish: WindowWish, window_id: int) -> dict[str, Any]:
    return {
        "id": window_id,
        "name": wish.name,
        "matchLabels": dict(wish.selector),
        "reason": wish.reason,
        "from": wish.starts_at.isoformat(),
        "until": wish.ends_at.isoformat(),
    }


async def close_window(
    connection: AsyncConnection,
    who: Who,
    window_id: int,
    now: datetime,
    *,
    reason: str | None = None,
) -> bool:
    """End a window now; its VMs get a full timeout from here. False where there is none open."""
    closed = await _close(connection, ONE, {"window_id": window_id, "now": now})
    for name in closed:
        detail = {"id": window_id, "name": name, "reason": reason}
        await audit(connection, who, Deed.CLOSE_MAINTENANCE, now, detail=detail)
    return bool(closed)


async def close_windows_but(
    connection: AsyncConnection, who: Who, config_id: int, names: Sequence[str], now: datetime
) -> None:
    """End the windows of a SystemConfig that it does not name any more."""
    bound = {"config_id": config_id, "names": list(names), "now": now}
    for name in await _close(connection, UNNAMED, bound):
        await audit(connection, who, Deed.CLOSE_MAINTENANCE, now, detail={"name": name})


async def held_by_ending(connection: AsyncConnection, now: datetime) -> Sequence[int]:
    """Find the VMs whose window is over and not closed yet, for the sweep to lock."""
    rows = await connection.execute(text(HELD.format(which=OVER)), {"now": now})
    return [int(row.vm_id) for row in rows]


async def close_what_is_over(connection: AsyncConnection, now: datetime) -> None:
    """Close the windows whose time has come."""
    await _close(connection, OVER, {"now": now})


async def _close(connection: AsyncConnection, which: str, bound: dict[str, Any]) -> list[str]:
    """Close windows, restart the clocks of their VMs; return the windows' names."""
    await _restart(connection, which, bound)
    closed = await connection.execute(text(CLOSE.format(which=which)), bound)
    return [str(row.name) for row in closed]


async def _restart(connection: AsyncConnection, which: str, bound: dict[str, Any]) -> None:
    await connection.execute(text(HELD.format(which=which) + IN_ORDER), bound)
    await connection.execute(text(RESTART.format(which=which)), bound)
