"""Partitions: ahead, behind, and no report lost between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import heartbeats, partitions, registry
from defib_core.store.clock import database_now
from defib_core.store.engine import hot_connection
from defib_core.store.registry import ReportedIdentity
from support.stored import A_HEARTBEAT, MINUTE, SECOND, Stored
from support.waiting import eventually_async

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


async def maintain(stored: Stored) -> tuple[int, int]:
    return await partitions.maintain(stored.connection, stored.now)


async def pieces(stored: Stored, table: str = "vm_metric") -> list[str]:
    rows = await stored.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = CAST(:table AS regclass) ORDER BY 1",
        table=table,
    )
    return [row.relname for row in rows]


async def in_default(stored: Stored) -> int:
    return int(await stored.value("SELECT count(*) FROM vm_metric_default"))


async def test_pieces_are_made_ahead(stored: Stored) -> None:
    made, dropped = await maintain(stored)
    assert (made, dropped) == (25 + 4 + 3, 0)
    hours = [name for name in await pieces(stored) if name != "vm_metric_default"]
    assert hours[0] == "vm_metric_20260301_12"
    assert hours[-1] == "vm_metric_20260302_12"
    assert len(hours) == 25
    assert await pieces(stored, "vm_metric_5m") == [
        "vm_metric_5m_20260301_00",
        "vm_metric_5m_20260302_00",
        "vm_metric_5m_20260303_00",
        "vm_metric_5m_20260304_00",
        "vm_metric_5m_default",
    ]


async def test_a_second_call_has_nothing_to_do(stored: Stored) -> None:
    await maintain(stored)
    assert await maintain(stored) == (0, 0)


async def test_each_hour_makes_one_more(stored: Stored) -> None:
    await maintain(stored)
    await stored.move(HOUR)
    assert await maintain(stored) == (1, 0)


async def test_reports_go_where_they_belong(stored: Stored) -> None:
    await maintain(stored)
    vm_id = await stored.vm()
    await stored.report(vm_id)
    await stored.move(HOUR)
    await stored.report(vm_id)
    found = await stored.execute("SELECT tableoid::regclass::text AS piece FROM vm_metric")
    assert sorted(row.piece for row in found) == [
        "vm_metric_20260301_12",
        "vm_metric_20260301_13",
    ]


async def test_a_piece_has_the_tables_key(stored: Stored) -> None:
    await maintain(stored)
    keys = await stored.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'p'"
        " AND conrelid = 'vm_metric_20260301_12'::regclass"
    )
    assert len(keys) == 1


async def test_after_days_away_nothing_is_lost(stored: Stored) -> None:
    await maintain(stored)
    vm_id = await stored.vm()
    for _ in range(30):
        await stored.move(3 * HOUR)
        await stored.report(vm_id)
    assert await in_default(stored) == 30 - 8
    # The day that was made ahead is too old by now; each stray hour gets its piece.
    assert await maintain(stored) == (21 + 25 + 4, 25)
    assert await in_default(stored) == 0
    assert await stored.value("SELECT count(*) FROM vm_metric") == 30 - 8
    # Of the stray hours five are too old as well.
    assert await maintain(stored) == (0, 5)
    assert await stored.value("SELECT count(*) FROM vm_metric") == 48 // 3 + 1
    assert await maintain(stored) == (0, 0)


async def test_pieces_are_dropped_by_age(stored: Stored) -> None:
    await maintain(stored)
    await stored.move(49 * HOUR)
    assert (await maintain(stored))[1] == 0
    assert "vm_metric_20260301_12" in await pieces(stored)
    await stored.move(SECOND)
    assert (await maintain(stored))[1] == 1
    assert "vm_metric_20260301_12" not in await pieces(stored)
    assert "vm_metric_20260301_13" in await pieces(stored)


@pytest.mark.parametrize(
    ("table", "kept", "width"),
    [("vm_metric_5m", 30 * DAY, DAY), ("vm_metric_1h", 400 * DAY, 10 * DAY)],
)
async def test_rollups_are_kept_longer(
    stored: Stored, table: str, kept: timedelta, width: timedelta
) -> None:
    await maintain(stored)
    oldest = (await pieces(stored, table))[0]
    start = datetime.strptime(oldest.removeprefix(f"{table}_"), "%Y%m%d_%H").replace(tzinfo=UTC)
    await stored.move(start + width + kept - stored.now)
    await maintain(stored)
    assert oldest in await pieces(stored, table)
    await stored.move(SECOND)
    await maintain(stored)
    assert oldest not in await pieces(stored, table)


@pytest.mark.parametrize(
    ("moment", "width", "start"),
    [
        ((2026, 3, 1, 12, 59, 59), HOUR, (2026, 3, 1, 12)),
        ((2026, 3, 1, 12), HOUR, (2026, 3, 1, 12)),
        ((2026, 3, 1, 12, 4), 5 * MINUTE, (2026, 3, 1, 12)),
        ((2026, 3, 1, 12, 59, 59), DAY, (2026, 3, 1)),
        ((1969, 12, 31, 23, 59), DAY, (1969, 12, 31)),
    ],
)
def test_moments_are_rounded_down(
    moment: tuple[int, ...], width: timedelta, start: tuple[int, ...]
) -> None:
    assert partitions.floor_to(utc(*moment), width) == utc(*start)


def utc(*parts: int) -> datetime:
    year, month, day, *rest = parts
    hour, minute, second = (*rest, 0, 0, 0)[:3]
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


# several connections


@pytest.fixture
async def reporting(engine: AsyncEngine) -> int:
    """A VM that can report; no piece is made yet."""
    async with engine.begin() as connection:
        await registry.ensure_defaults(connection, "defib")
        cluster = await connection.execute(text("SELECT id FROM proxmox_cluster"))
        said = ReportedIdentity(cluster.scalar_one(), 100, "x", None, None, None)
        return await registry.find_or_create(connection, said)


@pytest.fixture
async def stream(database_url: str, reporting: int) -> AsyncIterator[list[int]]:
    """Reports without a pause while the test runs; the list counts them."""
    connection = await hot_connection(database_url, application="tests-stream")
    heartbeat = msgspec.structs.replace(A_HEARTBEAT, vm_id=reporting)
    stored: list[int] = []
    stop = asyncio.Event()

    async def report() -> None:
        while not stop.is_set():
            stored.append(len(await heartbeats.store(connection, [heartbeat])))

    task = asyncio.create_task(report())
    await eventually_async(has_at_least(stored, 1), what="the first report")
    yield stored
    stop.set()
    try:
        await task
    finally:
        await connection.close()


def has_at_least(stored: list[int], count: int) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return len(stored) >= count

    return ask


async def maintain_once(engine: AsyncEngine) -> tuple[int, int]:
    async with engine.begin() as connection:
        return await partitions.maintain(connection, await database_now(connection))


async def test_replicas_that_keep_house_at_once_make_each_piece_once(
    engine: AsyncEngine,
) -> None:
    made = await asyncio.gather(*(maintain_once(engine) for _ in range(4)))
    assert sorted(made) == [(0, 0)] * 3 + [(32, 0)]


async def test_no_report_is_lost_while_its_piece_is_made(
    engine: AsyncEngine, stream: list[int]
) -> None:
    assert await maintain_once(engine) == (32, 0)
    before = len(stream)
    await eventually_async(has_at_least(stream, before + 10), what="ten more reports")
    async with engine.connect() as connection:
        kept = (await connection.execute(text("SELECT count(*) FROM vm_metric"))).scalar_one()
        strays = await connection.execute(text("SELECT count(*) FROM vm_metric_default"))
        counted = await connection.execute(text("SELECT reports FROM vm_state"))
        assert strays.scalar_one() == 0
    assert before <= kept <= counted.scalar_one()


async def test_house_is_kept_while_a_reader_holds_the_table(engine: AsyncEngine) -> None:
    await maintain_once(engine)
    async with engine.begin() as connection:
        later = await database_now(connection) + timedelta(days=10)
    async with engine.connect() as reading, engine.begin() as keeping:
        await reading.execute(text("SELECT count(*) FROM vm_metric"))
        made, dropped = await partitions.maintain(keeping, later)
        assert (made, dropped) == (4 + 1, 0), "only the reader's own table waits"
    async with engine.begin() as keeping:
        assert await partitions.maintain(keeping, later) == (25, 25)
