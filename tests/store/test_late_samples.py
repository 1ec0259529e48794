"""Samples that come late: in each bucket exactly once, whatever was made before they came."""

import asyncio
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import late, partitions, registry, rollups
from defib_core.store.clock import database_now
from defib_core.store.heartbeats import Heartbeat
from support.stored import MINUTE, Stored

FIVE, HOURLY = rollups.ALL
HOUR = timedelta(hours=1)
VMS = 20


def sample(vm_id: int, age: timedelta, cpu: float = 10.0) -> Heartbeat:
    seconds = age.total_seconds()
    return Heartbeat(vm_id, "running", cpu, 100, 200, 5, 10, 60, None, None, seconds)


async def roll_up(stored: Stored) -> None:
    for _ in range(4):
        for rollup in rollups.ALL:
            await rollups.roll_up(stored.connection, rollup, stored.now)


async def buckets(stored: Stored, table: str) -> list[tuple[int, float]]:
    rows = await stored.execute(f"SELECT samples, cpu FROM {table} ORDER BY vm_id, at")
    return [(row.samples, row.cpu) for row in rows]


async def reported_two_hours_ago(stored: Stored) -> int:
    """A VM with one report, which is in its buckets by now."""
    await partitions.maintain(stored.connection, stored.now)
    await roll_up(stored)
    vm_id = await stored.vm()
    await stored.report(vm_id, cpu=20.0)
    await stored.move(2 * HOUR + 2 * MINUTE)
    await roll_up(stored)
    assert await buckets(stored, "vm_metric_1h") == [(1, 20.0)]
    return vm_id


async def test_an_hour_that_was_rolled_up_is_corrected_once(stored: Stored) -> None:
    vm_id = await reported_two_hours_ago(stored)
    await late.store_late(stored.connection, [sample(vm_id, 2 * HOUR, cpu=40.0)])
    for table in ("vm_metric_5m", "vm_metric_1h"):
        assert await buckets(stored, table) == [(2, 30.0)]
    await roll_up(stored)
    for table in ("vm_metric_5m", "vm_metric_1h"):
        assert await buckets(stored, table) == [(2, 30.0)], "rolling up again adds nothing"
    assert await stored.value("SELECT count(*) FROM vm_metric") == 2


async def test_the_very_same_sample_again_changes_nothing(stored: Stored) -> None:
    vm_id = await reported_two_hours_ago(stored)
    for _ in range(3):
        await late.store_late(stored.connection, [sample(vm_id, 2 * HOUR, cpu=40.0)])
    assert await buckets(stored, "vm_metric_1h") == [(2, 30.0)]
    assert await stored.value("SELECT count(*) FROM vm_metric") == 2


async def test_a_batch_that_reaches_over_several_buckets_is_in_each_of_them(
    stored: Stored,
) -> None:
    vm_id = await reported_two_hours_ago(stored)
    batch = [sample(vm_id, MINUTE * minutes) for minutes in range(62, 122, 10)]
    await late.store_late(stored.connection, batch)
    five = await buckets(stored, "vm_metric_5m")
    assert sum(samples for samples, _ in five) == 7
    assert sum(samples for samples, _ in await buckets(stored, "vm_metric_1h")) == 7
    await roll_up(stored)
    assert await buckets(stored, "vm_metric_5m") == five


async def test_one_whose_bucket_is_not_made_yet_waits_for_it(stored: Stored) -> None:
    vm_id = await reported_two_hours_ago(stored)
    await late.store_late(stored.connection, [sample(vm_id, 2 * MINUTE)])
    assert await buckets(stored, "vm_metric_5m") == [(1, 20.0)]
    await stored.move(HOUR)
    await roll_up(stored)
    assert await buckets(stored, "vm_metric_5m") == [(1, 20.0), (1, 10.0)]


async def test_one_whose_piece_was_dropped_is_in_the_means_all_the_same(stored: Stored) -> None:
    vm_id = await reported_two_hours_ago(stored)
    for _ in range(3):
        await stored.move(24 * HOUR)
        for _ in range(25):
            await roll_up(stored)
        await partitions.maintain(stored.connection, stored.now)
    assert await stored.value("SELECT count(*) FROM vm_metric") == 0
    age = 74 * HOUR
    assert await late.store_late(stored.connection, [sample(vm_id, age, cpu=40.0)]) == 1
    assert await stored.value("SELECT count(*) FROM vm_metric") == 0
    for table in ("vm_metric_5m", "vm_metric_1h"):
        assert await buckets(stored, table) == [(2, 30.0)]


async def test_while_buckets_are_made_none_is_lost_and_none_counted_twice(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        await registry.ensure_defaults(connection, "defib")
        await connection.execute(
            text(
                "INSERT INTO vm (cluster_id, vmid, hostname, registered_by, config_id)"
                " SELECT c.id, 100 + n, 'vm-' || n, 'agent', s.id"
                " FROM generate_series(1, :vms) n, proxmox_cluster c, system_config s"
            ),
            {"vms": VMS},
        )
        await partitions.maintain(connection, await database_now(connection))
        ids = [row.id for row in await connection.execute(text("SELECT id FROM vm ORDER BY id"))]

    async def come_late(minutes: int) -> None:
        batch = [sample(vm_id, minutes * MINUTE) for vm_id in ids]
        async with engine.begin() as connection:
            await late.store_late(connection, batch)

    async def keep_house() -> None:
        for rollup in rollups.ALL:
            async with engine.begin() as connection:
                await rollups.roll_up(connection, rollup, await database_now(connection))

    await come_late(200)
    for minutes in range(20, 180, 20):
        await asyncio.gather(come_late(minutes), keep_house(), come_late(minutes + 3))
    for _ in range(6):
        await keep_house()
    async with engine.connect() as connection:
        reports = await connection.execute(text("SELECT count(*) FROM vm_metric"))
        means = await connection.execute(text("SELECT sum(samples) FROM vm_metric_5m"))
        assert reports.scalar_one() == means.scalar_one() == 17 * VMS
