"""A VM's history, at the resolution that suits the span asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


class Resolution(StrEnum):
    """Distance between two points: each report, or the mean of five minutes or an hour."""

    RAW = "raw"
    FIVE_MINUTES = "5m"
    HOUR = "1h"


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One point. RAM and disk in MiB, CPU in percent, uptime in seconds."""

    at: datetime
    cpu: float
    ram: int
    ram_total: int
    disk: int | None
    disk_total: int | None
    uptime: int | None


RAW_KEPT = timedelta(hours=48)
FIVE_MINUTES_KEPT = timedelta(days=30)
HOURS_KEPT = timedelta(days=400)

COLUMNS = "at, cpu, ram, ram_total, disk, disk_total, uptime"
RAW = text(
    f"SELECT {COLUMNS} FROM vm_metric WHERE vm_id = :vm_id AND at > :since AND at <= :now"
    " ORDER BY at"
)


def _rolled(table: str) -> str:
    """Rolled-up buckets, then the reports that no bucket holds yet."""
    return f"""
        WITH done AS (
            SELECT coalesce(max(done_until), '-infinity') AS until
            FROM rollup_progress WHERE rollup = '{table}'
        )
        SELECT {COLUMNS} FROM {table}, done
        WHERE vm_id = :vm_id AND at > :since AND at < done.until
        UNION ALL
        SELECT {COLUMNS} FROM vm_metric, done
        WHERE vm_id = :vm_id AND at > :since AND at <= :now AND at >= done.until
        ORDER BY at
    """


STATEMENTS = {
    Resolution.RAW: RAW,
    Resolution.FIVE_MINUTES: text(_rolled("vm_metric_5m")),
    Resolution.HOUR: text(_rolled("vm_metric_1h")),
}


def resolution_for(span: timedelta) -> Resolution:
    """Choose the resolution: every report up to six hours, five minutes up to a week."""
    if span <= timedelta(hours=6):
        return Resolution.RAW
    if span <= timedelta(days=7):
        return Resolution.FIVE_MINUTES
    return Resolution.HOUR


async def points(
    connection: AsyncConnection, vm_id: int, *, now: datetime, span: timedelta, by: Resolution
) -> Sequence[MetricPoint]:
    """Read a VM's points of the last `span`, oldest first."""
    rows = await connection.execute(
        STATEMENTS[by], {"vm_id": vm_id, "since": now - span, "now": now}
    )
    return [MetricPoint(**row._mapping) for row in rows]
