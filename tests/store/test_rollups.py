"""Rollups: exact values, each bucket once, whatever happens between."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import rollups
from defib_core.store.clock import database_now
from support.stored import MINUTE, SECOND, Stored

FIVE, HOURLY = rollups.ALL
HOUR = timedelta(hours=1)


async def roll_up(stored: Stored, rollup: rollups.Rollup = FIVE) -> int:
    return await rollups.roll_up(stored.connection, rollup, stored.now)


async def metric(stored: Stored, vm_id: int, at: datetime, **figures: float | None) -> None:
    columns = {"cpu": 10.0, "ram": 100, "ram_total": 1000, "disk": 1, "disk_total": 2, "uptime": 3}
    await stored.execute(
        "INSERT INTO vm_metric (vm_id, at, cpu, ram, ram_total, disk, disk_total, uptime)"
        " VALUES (:vm_id, :at, :cpu, :ram, :ram_total, :disk, :disk_total, :uptime)",
        vm_id=vm_id,
        at=at,
        **{**columns, **figures},
    )


async def buckets(stored: Stored, table: str = "vm_metric_5m") -> list[tuple[Any, ...]]:
    rows = await stored.execute(f"SELECT * FROM {table} ORDER BY vm_id, at")
    return [tuple(row) for row in rows]


async def test_five_minutes_are_averaged_exactly(stored: Stored) -> None:
    start = stored.now
    await metric(stored, 1, start, cpu=10, ram=100, disk=5, disk_total=10, uptime=1)
    await metric(stored, 1, start + MINUTE, cpu=20, ram=101, disk=6, disk_total=11, uptime=2)
    last = start + 5 * MINUTE - timedelta(microseconds=1)
    await metric(stored, 1, last, cpu=60, ram=300, ram_total=2000, disk=4, uptime=3)
    await metric(stored, 2, start, cpu=7, disk=None, disk_total=None, uptime=None)
    await metric(stored, 1, start + 5 * MINUTE, cpu=99)
    await stored.move(5 * MINUTE + 75 * SECOND)
    assert await roll_up(stored) == 2
    assert await buckets(stored) == [
        (1, start, 3, 30.0, 60.0, 167, 300, 2000, 4, 2, 3),
        (2, start, 1, 7.0, 7.0, 100, 100, 1000, None, None, None),
    ]


async def test_a_bucket_is_made_after_the_last_relayed_report_may_have_come(stored: Stored) -> None:
    await metric(stored, 1, stored.now)
    await stored.move(5 * MINUTE + 74 * SECOND)
    assert await roll_up(stored) == 0
    await stored.move(SECOND)
    assert await roll_up(stored) == 1


async def test_each_bucket_is_made_once(stored: Stored) -> None:
    await metric(stored, 1, stored.now)
    await stored.move(10 * MINUTE)
    assert await roll_up(stored) == 1
    assert await roll_up(stored) == 0
    await metric(stored, 1, stored.now)
    await stored.move(10 * MINUTE)
    assert await roll_up(stored) == 1
    assert [bucket[2] for bucket in await buckets(stored)] == [1, 1]


async def test_a_crash_repeats_nothing_and_loses_nothing(stored: Stored) -> None:
    await metric(stored, 1, stored.now)
    await stored.move(10 * MINUTE)
    crash = await stored.connection.begin_nested()
    assert await roll_up(stored) == 1
    await crash.rollback()
    assert await buckets(stored) == []
    assert await roll_up(stored) == 1
    assert len(await buckets(stored)) == 1


async def test_after_a_long_absence_it_catches_up_an_hour_at_a_time(stored: Stored) -> None:
    start = stored.now
    for minutes in range(0, 150, 5):
        await metric(stored, 1, start + minutes * MINUTE)
    await stored.move(150 * MINUTE + 75 * SECOND)
    assert [await roll_up(stored) for _ in range(4)] == [12, 12, 6, 0]
    assert [bucket[1] for bucket in await buckets(stored)] == [
        start + minutes * MINUTE for minutes in range(0, 150, 5)
    ]


async def test_without_reports_it_begins_here(stored: Stored) -> None:
    assert await roll_up(stored) == 0
    await metric(stored, 1, stored.now)
    await stored.move(7 * MINUTE)
    assert await roll_up(stored) == 1


async def test_hours_are_made_of_five_minutes_weighed_by_their_reports(stored: Stored) -> None:
    start = stored.now
    for seconds in range(0, 300, 100):
        await metric(stored, 1, start + seconds * SECOND, cpu=10, ram=100)
    await metric(stored, 1, start + 30 * MINUTE, cpu=50, ram=500, ram_total=2000, uptime=9)
    await stored.move(HOUR + 76 * SECOND)
    await roll_up(stored)
    assert await roll_up(stored, HOURLY) == 1
    assert await buckets(stored, "vm_metric_1h") == [
        (1, start, 4, 20.0, 50.0, 200, 500, 2000, 1, 2, 9)
    ]


async def test_an_hour_waits_for_its_last_five_minutes(stored: Stored) -> None:
    start = stored.now
    await metric(stored, 1, start)
    await metric(stored, 1, start + 59 * MINUTE)
    await stored.move(HOUR + 74 * SECOND)
    await roll_up(stored)
    assert await roll_up(stored, HOURLY) == 0
    await stored.move(SECOND)
    await roll_up(stored)
    assert await roll_up(stored, HOURLY) == 1
    assert (await buckets(stored, "vm_metric_1h"))[0][2] == 2


async def test_hours_asked_for_first_miss_nothing(stored: Stored) -> None:
    start = stored.now
    await metric(stored, 1, start)
    await stored.move(3 * HOUR)
    assert await roll_up(stored, HOURLY) == 0
    while await roll_up(stored):
        pass
    await roll_up(stored, HOURLY)
    assert [bucket[1] for bucket in await buckets(stored, "vm_metric_1h")] == [start]


async def test_where_it_has_got_to_is_found_without_reading_the_history(stored: Stored) -> None:
    await metric(stored, 1, stored.now)
    await stored.move(10 * MINUTE)
    await roll_up(stored)
    await metric(stored, 1, stored.now - timedelta(days=1))
    assert await roll_up(stored) == 0


async def test_two_replicas_make_each_bucket_once(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO vm_metric (vm_id, at, cpu, ram, ram_total)"
                " SELECT vm, defib_now() - minutes * interval '1 min', 1, 1, 1"
                " FROM generate_series(1, 20) vm, generate_series(10, 60) minutes"
            )
        )

    async def once() -> int:
        async with engine.begin() as connection:
            return await rollups.roll_up(connection, FIVE, await database_now(connection))

    made = await asyncio.gather(*(once() for _ in range(4)))
    assert sorted(made)[:3] == [0, 0, 0]
    assert max(made) > 0
    async with engine.connect() as connection:
        total = await connection.execute(text("SELECT sum(samples) FROM vm_metric_5m"))
        expected = await connection.execute(
            text(
                "SELECT count(*) FROM vm_metric WHERE at <"
                " (SELECT done_until FROM rollup_progress WHERE rollup = 'vm_metric_5m')"
            )
        )
        assert total.scalar_one() == expected.scalar_one()
