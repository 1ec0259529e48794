"""The last hour of some VMs in means of five minutes: what a line beside a name needs.

Buckets that are rolled up are read, the few minutes since then are summed up here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.partitions import floor_to

STEP = timedelta(minutes=5)
STEPS = 12

RECENT = text("""
WITH done AS (
    SELECT coalesce(max(done_until), '-infinity') AS until
    FROM rollup_progress WHERE rollup = 'vm_metric_5m'
), seen AS (
    SELECT vm_id, at, cpu, ram, ram_total FROM vm_metric_5m, done
    WHERE vm_id = ANY(:ids) AND at >= :since AND at < least(done.until, :until)
    UNION ALL
    SELECT vm_id, at, cpu, ram, ram_total FROM vm_metric, done
    WHERE vm_id = ANY(:ids) AND at >= greatest(done.until, :since) AND at < :until
)
SELECT vm_id, date_bin(:step, at, :since) AS step, avg(cpu) AS cpu,
    avg(100.0 * ram / nullif(ram_total, 0)) AS ram
FROM seen GROUP BY vm_id, step
""")


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Percent of each step, oldest first; None where nothing was reported."""

    cpu: Sequence[float | None]
    ram: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Sparklines:
    """The lines of some VMs, by their ids, and where they begin."""

    since: datetime
    lines: Mapping[int, Sparkline]


async def recent(connection: AsyncConnection, ids: Sequence[int], now: datetime) -> Sparklines:
    """Read the last full hour and what there is of the step that runs now."""
    since = floor_to(now, STEP) - STEP * (STEPS - 1)
    until = since + STEP * STEPS
    rows = await connection.execute(
        RECENT, {"ids": list(ids), "since": since, "until": until, "step": STEP}
    )
    cpu: dict[int, list[float | None]] = {}
    ram: dict[int, list[float | None]] = {}
    for row in rows:
        place = (row.step - since) // STEP
        cpu.setdefault(row.vm_id, [None] * STEPS)[place] = float(row.cpu)
        ram.setdefault(row.vm_id, [None] * STEPS)[place] = None if row.ram is None else row.ram
    return Sparklines(since, {vm_id: Sparkline(cpu[vm_id], ram[vm_id]) for vm_id in cpu})
