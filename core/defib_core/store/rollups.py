"""Rolls reports up into five minutes, and those into hours; each bucket exactly once.

A bucket is made a little after it is closed, as reports are stored at the moment they come. The
progress row moves in the same transaction, so a crash repeats or loses nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.partitions import floor_to

SETTLED_AFTER = timedelta(seconds=75)
"""A relayed report may be this late and still count as of its time; later ones: `late.py`."""
MOST_BUCKETS = 12
"""At most this many buckets a call, so that one after a long absence stays short."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """From which table, into which, and how wide a bucket is."""

    source: str
    target: str
    width: timedelta
    columns: str


FROM_REPORTS = """count(*), avg(cpu), max(cpu), avg(ram)::int, max(ram), max(ram_total),
    (array_agg(disk ORDER BY at DESC))[1], (array_agg(disk_total ORDER BY at DESC))[1],
    (array_agg(uptime ORDER BY at DESC))[1]"""
FROM_BUCKETS = """sum(samples), sum(cpu * samples) / sum(samples), max(cpu_max),
    (sum(ram::bigint * samples) / sum(samples))::int, max(ram_max), max(ram_total),
    (array_agg(disk ORDER BY at DESC))[1], (array_agg(disk_total ORDER BY at DESC))[1],
    (array_agg(uptime ORDER BY at DESC))[1]"""

ALL = (
    Rollup("vm_metric", "vm_metric_5m", timedelta(minutes=5), FROM_REPORTS),
    Rollup("vm_metric_5m", "vm_metric_1h", timedelta(hours=1), FROM_BUCKETS),
)

LOCK_PROGRESS = text("""
INSERT INTO rollup_progress (rollup, done_until) VALUES (:rollup, :start)
ON CONFLICT (rollup) DO UPDATE SET done_until = rollup_progress.done_until
RETURNING done_until
""")
MOVE_PROGRESS = text(
    "UPDATE rollup_progress SET done_until = :until WHERE rollup = :rollup AND done_until < :until"
)
DONE = text("SELECT done_until FROM rollup_progress WHERE rollup = :rollup")


async def roll_up(connection: AsyncConnection, rollup: Rollup, now: datetime) -> int:
    """Make the buckets that are due, in the caller's transaction; return the number of rows."""
    until = await _closed_until(connection, rollup, now)
    if until is None:
        return 0
    start = await _done(connection, rollup.target) or await _first(connection, rollup, now)
    done: datetime = (
        await connection.execute(LOCK_PROGRESS, {"rollup": rollup.target, "start": start})
    ).scalar_one()
    until = min(until, done + rollup.width * MOST_BUCKETS)
    if until <= done:
        return 0
    written = await connection.execute(
        text(f"""
            INSERT INTO {rollup.target} (vm_id, at, samples, cpu, cpu_max, ram, ram_max, ram_total,
                                         disk, disk_total, uptime)
            SELECT vm_id, date_bin(:width, at, TIMESTAMPTZ '1970-01-01Z'), {rollup.columns}
            FROM {rollup.source} WHERE at >= :done AND at < :until GROUP BY 1, 2
        """),
        {"width": rollup.width, "done": done, "until": until},
    )
    await connection.execute(MOVE_PROGRESS, {"rollup": rollup.target, "until": until})
    return int(written.rowcount)


async def _closed_until(
    connection: AsyncConnection, rollup: Rollup, now: datetime
) -> datetime | None:
    """The end of the last bucket of which nothing can come any more; None before the first."""
    if rollup.source == "vm_metric":
        return floor_to(now - SETTLED_AFTER, rollup.width)
    closed = await _done(connection, rollup.source)
    return None if closed is None else floor_to(closed, rollup.width)


async def _done(connection: AsyncConnection, rollup: str) -> datetime | None:
    found: datetime | None = (
        await connection.execute(DONE, {"rollup": rollup})
    ).scalar_one_or_none()
    return found


async def _first(connection: AsyncConnection, rollup: Rollup, now: datetime) -> datetime:
    """Where to begin: at the oldest row of the source, or here. Reads all of the source."""
    oldest = (await connection.execute(text(f"SELECT min(at) FROM {rollup.source}"))).scalar_one()
    return floor_to(oldest or now - SETTLED_AFTER, rollup.width)
