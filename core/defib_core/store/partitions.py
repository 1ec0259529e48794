"""Keeps the history's partitions: made ahead, dropped by age, and never a report lost between.

Rows that came while no partition was there lie in the default partition; they are moved when theirs
is made. Both making and dropping need locks that readers are in the way of, and that others queue
behind: what is not to be had soon is left to the next call, which comes long before it matters.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from psycopg.errors import LockNotAvailable
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.metrics import FIVE_MINUTES_KEPT, HOURS_KEPT, RAW_KEPT

log = structlog.get_logger(__name__)

LOCK = 0x64656670  # "defp"
WAIT_FOR_LOCKS = "500ms"
"""Shorter than PostgreSQL's deadlock_timeout, so that nobody else is ever the victim."""

Work = Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Partitioned:
    """How one table is cut, how far ahead, and how long a piece is kept."""

    table: str
    width: timedelta
    ahead: int
    keep: timedelta


ROLLED_INTO = {"vm_metric": "vm_metric_5m", "vm_metric_5m": "vm_metric_1h"}
WAITS_MOST = timedelta(days=7)
"""So much longer a piece is kept for a rollup that is behind: disks end."""
DONE = text("SELECT done_until FROM rollup_progress WHERE rollup = :rollup")

ALL = (
    Partitioned("vm_metric", timedelta(hours=1), 24, RAW_KEPT),
    Partitioned("vm_metric_5m", timedelta(days=1), 3, FIVE_MINUTES_KEPT),
    Partitioned("vm_metric_1h", timedelta(days=10), 2, HOURS_KEPT),
)


def floor_to(moment: datetime, width: timedelta) -> datetime:
    """Round down to a multiple of the width since 1970."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // width * width


def name_of(table: str, start: datetime) -> str:
    """Name a partition after its start in UTC."""
    return f"{table}_{start:%Y%m%d_%H}"


async def maintain(connection: AsyncConnection, now: datetime) -> tuple[int, int]:
    """Make what is missing and drop what is too old; return how many of each were.

    Runs under an advisory lock in the caller's transaction, so several replicas may call it.
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    made = dropped = 0
    for kind in ALL:
        present = await _present(connection, kind)
        # Dropping locks the whole table, making its default partition: in the order of a writer.
        dropped += await _soon(connection, partial(_drop_old, connection, kind, now, present))
        made += await _soon(connection, partial(_make_ahead, connection, kind, now, present))
    return made, dropped


async def made_until(connection: AsyncConnection) -> datetime | None:
    """Say until when reports have partitions of their own; None where there is none."""
    reports = ALL[0]
    starts = (await _present(connection, reports)).values()
    return max(starts) + reports.width if starts else None


async def _soon(connection: AsyncConnection, work: Work) -> int:
    """Do a piece of work, or none of it where its locks are not to be had; return what it says."""
    try:
        async with connection.begin_nested():
            await connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_FOR_LOCKS}'"))
            done = await work()
            await connection.execute(text("SET LOCAL lock_timeout = DEFAULT"))
    except OperationalError as error:
        if not isinstance(error.orig, LockNotAvailable):
            raise
        log.info("partitions_wait", why="somebody reads the history; the next call does it")
        return 0
    return done


async def _present(connection: AsyncConnection, kind: Partitioned) -> dict[str, datetime]:
    rows = await connection.execute(
        text(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = CAST(:table AS regclass)"
        ),
        {"table": kind.table},
    )
    names = [row.relname for row in rows if not row.relname.endswith("_default")]
    return {name: start_of(kind.table, name) for name in names}


def start_of(table: str, name: str) -> datetime:
    """Read a partition's start from its name."""
    stamp = name.removeprefix(table + "_")
    return datetime.strptime(stamp, "%Y%m%d_%H").replace(tzinfo=UTC)


async def _make_ahead(
    connection: AsyncConnection, kind: Partitioned, now: datetime, present: dict[str, datetime]
) -> int:
    first = floor_to(now, kind.width)
    starts = [first + kind.width * step for step in range(kind.ahead + 1)]
    starts += await _starts_in_default(connection, kind)
    missing = sorted({s for s in starts if name_of(kind.table, s) not in present})
    if missing:
        # Nothing may come into the default partition between the move and the attachment.
        await connection.execute(text(f"LOCK TABLE {kind.table}_default"))
    for start in missing:
        await _make(connection, kind, start)
    return len(missing)


async def _starts_in_default(connection: AsyncConnection, kind: Partitioned) -> list[datetime]:
    rows = await connection.execute(
        text(
            "SELECT DISTINCT date_bin(:width, at, TIMESTAMPTZ '1970-01-01Z') AS start"
            f" FROM {kind.table}_default"
        ),
        {"width": kind.width},
    )
    return [row.start.astimezone(UTC) for row in rows]


async def _make(connection: AsyncConnection, kind: Partitioned, start: datetime) -> None:
    """Make one partition beside the table, move its rows out of the default, then attach it."""
    table, name, end = kind.table, name_of(kind.table, start), start + kind.width
    await connection.execute(
        text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    )
    await connection.execute(
        text(
            f"WITH moved AS (DELETE FROM {table}_default WHERE at >= :start AND at < :end"
            f" RETURNING *) INSERT INTO {name} SELECT * FROM moved"
        ),
        {"start": start, "end": end},
    )
    await connection.exec_driver_sql(
        f"ALTER TABLE {table} ATTACH PARTITION {name}"
        f" FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
    )


async def _old_before(connection: AsyncConnection, kind: Partitioned, now: datetime) -> datetime:
    """Say before when a piece is old: by its age, and not before it was rolled up.

    Rollups are the operator's; one that was away for days finds what it has to roll up.
    """
    by_age = now - kind.keep
    into = {"rollup": ROLLED_INTO.get(kind.table)}
    done: datetime | None = (await connection.execute(DONE, into)).scalar_one_or_none()
    return by_age if done is None else max(min(by_age, done), by_age - WAITS_MOST)


async def _drop_old(
    connection: AsyncConnection, kind: Partitioned, now: datetime, present: dict[str, datetime]
) -> int:
    before = await _old_before(connection, kind, now)
    old = [name for name, start in present.items() if start + kind.width < before]
    if old:
        await connection.execute(text("DROP TABLE " + ", ".join(sorted(old))))
    return len(old)
