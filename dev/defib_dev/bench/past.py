"""A history as a day of reports would have left it: same tables, same order, same partitions.

The pieces of the past are made as production makes those of the future; the rollups are made by the
production code itself, which is measured on the way. Only the key indexes are more compact than
those that grow row by row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import perf_counter

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import partitions, rollups
from defib_core.store.clock import database_now
from defib_core.store.engine import make_engine
from defib_core.store.partitions import Partitioned, floor_to, name_of
from defib_core.store.rollups import Rollup
from defib_dev.bench.plan import HistoryPlan
from defib_dev.bench.servers import Database

RAW, *ROLLED = partitions.ALL

# Each VM reports once a round, always the same while after the round's beginning.
REPORTS = """
INSERT INTO {table} (vm_id, at, cpu, ram, ram_total, disk, disk_total, uptime)
SELECT v.id, round + v.id * {step}, 5 + (v.id + n) % 60, 1024 + (v.id * 7 + n) % 1024, 4096,
    20000 + n, 100000, 86400 + n * 30
FROM generate_series(%(start)s::timestamptz, %(until)s, %(interval)s)
    WITH ORDINALITY AS r(round, n),
    (SELECT id FROM vm ORDER BY id) AS v
WHERE round + v.id * {step} < %(until)s
ORDER BY round, v.id
"""
SIZE = """
SELECT sum(pg_total_relation_size(inhrelid))::float8 FROM pg_inherits
WHERE inhparent = '{table}'::regclass
"""
ROWS = "SELECT count(*) FROM {table}"
SETTLE = "VACUUM ANALYZE vm_metric, vm_metric_5m, vm_metric_1h"


@dataclass(frozen=True, slots=True)
class Past:
    """The history that was made."""

    now: datetime
    reports: int
    size: float
    """Bytes of the reports, key indexes included."""
    rolled_up: tuple[float, ...]
    """Seconds that production took for each hour of five-minute means."""
    means: Mapping[str, float]
    """Bytes of a mean, its key included, by the table it is in."""


async def make(database: Database, plan: HistoryPlan, vms: int) -> Past:
    """Fill the history of all VMs up to now, and roll it up."""
    engine = make_engine(database.url, application="bench")
    try:
        async with engine.begin() as connection:
            now = await database_now(connection)
            await partitions.maintain(connection, now)
        _fill(database.superuser_url, plan, vms, now)
        minutes, hours = rollups.ALL
        rolled_up = await _roll_up(engine, minutes, now)
        await _roll_up(engine, hours, now)
    finally:
        await engine.dispose()
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(SETTLE)
        connection.execute("CHECKPOINT")
        means = {
            kind.table: _size(connection, kind.table) / max(_rows(connection, kind.table), 1)
            for kind in ROLLED
        }
        reports, size = _rows(connection, RAW.table), _size(connection, RAW.table)
        return Past(now, reports, size, tuple(rolled_up), means)


def _rows(connection: psycopg.Connection, table: str) -> int:
    return int(_one(connection, ROWS.format(table=table)))


def _size(connection: psycopg.Connection, table: str) -> float:
    return _one(connection, SIZE.format(table=table))


def _fill(superuser_url: str, plan: HistoryPlan, vms: int, now: datetime) -> None:
    first, this_hour = floor_to(now - plan.span, RAW.width), floor_to(now, RAW.width)
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        for kind in ROLLED:
            start = floor_to(first, kind.width)
            while start < floor_to(now, kind.width):
                _piece(connection, kind, start)
                _attach(connection, kind, start)
                start += kind.width
        start = first
        while start < this_hour:
            with connection.transaction():
                piece = _piece(connection, RAW, start)
                _reports(connection, piece, plan, vms, (start, start + RAW.width))
                _attach(connection, RAW, start)
            start += RAW.width
        _reports(connection, RAW.table, plan, vms, (this_hour, now))


def _piece(connection: psycopg.Connection, kind: Partitioned, start: datetime) -> str:
    """A table of a partition's shape, without an index yet."""
    name = name_of(kind.table, start)
    create = f"CREATE TABLE {name} (LIKE {kind.table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
    connection.execute(create.encode())
    return name


def _attach(connection: psycopg.Connection, kind: Partitioned, start: datetime) -> None:
    attach = (
        f"ALTER TABLE {kind.table} ATTACH PARTITION {name_of(kind.table, start)}"
        f" FOR VALUES FROM ('{start.isoformat()}') TO ('{(start + kind.width).isoformat()}')"
    )
    connection.execute(attach.encode())


def _reports(
    connection: psycopg.Connection,
    table: str,
    plan: HistoryPlan,
    vms: int,
    between: tuple[datetime, datetime],
) -> None:
    step = f"interval '{plan.interval / timedelta(microseconds=1) / (vms + 1):.0f} microseconds'"
    connection.execute(
        REPORTS.format(table=table, step=step).replace(" % ", " %% ").encode(),
        {"start": between[0], "until": between[1], "interval": plan.interval},
    )


async def _roll_up(engine: AsyncEngine, rollup: Rollup, now: datetime) -> list[float]:
    """Make all buckets that are due, in the steps that production takes; seconds of each."""
    took: list[float] = []
    while True:
        began = perf_counter()
        async with engine.begin() as connection:
            rows = await rollups.roll_up(connection, rollup, now)
        if not rows:
            return took
        took.append(perf_counter() - began)


def _one(connection: psycopg.Connection, query: str) -> float:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return float(row[0])
