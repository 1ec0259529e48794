"""Samples that come late fill the history, and move no state.

A bucket of a rollup that was made before they came is corrected by them, in the same transaction:
its progress is locked meanwhile, so each sample is in a bucket exactly once. What is older than
reports are kept goes into the buckets only.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.arrays import array
from defib_core.store.heartbeats import Heartbeat
from defib_core.store.metrics import RAW_KEPT

PROGRESS = text("SELECT rollup, done_until FROM rollup_progress ORDER BY rollup FOR SHARE")

MERGE = """
{name} AS (
    INSERT INTO {table} AS t (vm_id, at, samples, cpu, cpu_max, ram, ram_max, ram_total, disk,
                              disk_total, uptime)
    SELECT vm_id, date_bin('{width}', at, TIMESTAMPTZ '1970-01-01Z'), count(*), avg(cpu), max(cpu),
        avg(ram)::int, max(ram), max(ram_total), (array_agg(disk ORDER BY at DESC))[1],
        (array_agg(disk_total ORDER BY at DESC))[1], (array_agg(uptime ORDER BY at DESC))[1]
    FROM added WHERE at < :{name} GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (vm_id, at) DO UPDATE SET
        samples = t.samples + excluded.samples,
        cpu = (t.cpu * t.samples + excluded.cpu * excluded.samples)
              / (t.samples + excluded.samples),
        cpu_max = greatest(t.cpu_max, excluded.cpu_max),
        ram = (t.ram::bigint * t.samples + excluded.ram::bigint * excluded.samples)
              / (t.samples + excluded.samples),
        ram_max = greatest(t.ram_max, excluded.ram_max),
        ram_total = greatest(t.ram_total, excluded.ram_total)
)"""
FIVE_MINUTES = MERGE.format(name="five", table="vm_metric_5m", width="5 minutes")
HOUR = MERGE.format(name="hour", table="vm_metric_1h", width="1 hour")

STORE = text(f"""
WITH d AS (
    SELECT d.*, defib_now() - interval '1 second' * d.age AS at
    FROM unnest(
        CAST(:vm_ids AS bigint[]), CAST(:cpu AS real[]), CAST(:ram AS int[]),
        CAST(:ram_total AS int[]), CAST(:disk AS bigint[]), CAST(:disk_total AS bigint[]),
        CAST(:uptime AS bigint[]), CAST(:ages AS float8[])
    ) AS d(vm_id, cpu, ram, ram_total, disk, disk_total, uptime, age)
    JOIN vm ON vm.id = d.vm_id
),
raw AS (
    INSERT INTO vm_metric (vm_id, at, cpu, ram, ram_total, disk, disk_total, uptime)
    SELECT vm_id, at, cpu, ram, ram_total, disk, disk_total, uptime FROM d
    WHERE at > defib_now() - CAST(:kept AS interval)
    ON CONFLICT DO NOTHING
    RETURNING vm_id, at
),
added AS (
    SELECT d.* FROM d LEFT JOIN raw ON raw.vm_id = d.vm_id AND raw.at = d.at
    WHERE raw.vm_id IS NOT NULL OR d.at <= defib_now() - CAST(:kept AS interval)
),
{FIVE_MINUTES},
{HOUR}
SELECT count(*) FROM d
""")


async def store_late(connection: AsyncConnection, samples: Sequence[Heartbeat]) -> int:
    """Store samples in the caller's transaction; return how many are of VMs that exist."""
    done: dict[str, datetime] = {
        row.rollup: row.done_until for row in await connection.execute(PROGRESS)
    }
    stored = await connection.execute(
        STORE,
        {
            "vm_ids": array([one.vm_id for one in samples]),
            "cpu": array([one.cpu for one in samples]),
            "ram": array([one.ram for one in samples]),
            "ram_total": array([one.ram_total for one in samples]),
            "disk": array([one.disk for one in samples]),
            "disk_total": array([one.disk_total for one in samples]),
            "uptime": array([one.uptime for one in samples]),
            "ages": array([one.age for one in samples]),
            "kept": RAW_KEPT,
            "five": done.get("vm_metric_5m"),
            "hour": done.get("vm_metric_1h"),
        },
    )
    return int(stored.scalar_one())
