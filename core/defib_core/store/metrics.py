"""A VM's history, at the resolution that suits the span asked for.

Written as JSON by PostgreSQL, as in `vm_rows`: a day has thousands of points, and the process that
takes the reports must not spend its time on writing them.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.written import written_moment


class Resolution(StrEnum):
    """Distance between two points: each report, or the mean of five minutes or an hour."""

    RAW = "raw"
    FIVE_MINUTES = "5m"
    HOUR = "1h"


RAW_KEPT = timedelta(hours=48)
FIVE_MINUTES_KEPT = timedelta(days=30)
HOURS_KEPT = timedelta(days=400)

COLUMNS = "at, cpu, ram, ram_total, disk, disk_total, uptime"
RAW = f"""
    SELECT {COLUMNS} FROM vm_metric WHERE vm_id = :vm_id AND at > :since AND at <= :now
"""


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
    """


def _written(points: str) -> TextClause:
    return text(f"""
        SELECT '[' || coalesce(string_agg(row_to_json(shown)::text, ','), '') || ']' AS body
        FROM (
            SELECT {written_moment("at")} AS "timestamp", round(cpu::numeric, 2) AS "cpuUsage",
                ram AS "ramUsage", ram_total AS "ramTotal",
                disk AS "diskUsage", disk_total AS "diskTotal", uptime AS "uptime"
            FROM ({points}) AS point
            ORDER BY at
        ) AS shown
    """)


STATEMENTS = {
    Resolution.RAW: _written(RAW),
    Resolution.FIVE_MINUTES: _written(_rolled("vm_metric_5m")),
    Resolution.HOUR: _written(_rolled("vm_metric_1h")),
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
) -> bytes:
    """Write a VM's points of the last `span` as a JSON array, oldest first.

    The fields are those of the API's schema `Metric`: RAM and disk in MiB, CPU in percent, uptime
    in seconds.
    """
    asked = {"vm_id": vm_id, "since": now - span, "now": now}
    body: str = (await connection.execute(STATEMENTS[by], asked)).scalar_one()
    return body.encode()
