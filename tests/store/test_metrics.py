"""A VM's history, at the resolution that suits the span."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from defib_core.store import metrics, rollups
from defib_core.store.metrics import Resolution
from support.stored import MINUTE, SECOND, Stored

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("span", "resolution"),
    [
        (MINUTE, Resolution.RAW),
        (6 * HOUR, Resolution.RAW),
        (6 * HOUR + SECOND, Resolution.FIVE_MINUTES),
        (7 * DAY, Resolution.FIVE_MINUTES),
        (7 * DAY + SECOND, Resolution.HOUR),
        (400 * DAY, Resolution.HOUR),
    ],
)
def test_the_resolution_suits_the_span(span: timedelta, resolution: Resolution) -> None:
    assert metrics.resolution_for(span) is resolution


@dataclass(frozen=True)
class Point:
    """When, and which CPU."""

    at: datetime
    cpu: float


async def points(
    stored: Stored, vm_id: int, span: timedelta, by: Resolution = Resolution.RAW
) -> list[Point]:
    found = await metrics.points(stored.connection, vm_id, now=stored.now, span=span, by=by)
    return [
        Point(datetime.fromisoformat(one["timestamp"]), one["cpuUsage"])
        for one in json.loads(found)
    ]


async def report_each_minute(stored: Stored, minutes: int) -> int:
    """A VM that reported at each full minute; its CPU counts them from 0."""
    vm_id = await stored.vm()
    for minute in range(minutes):
        await stored.report(vm_id, cpu=minute)
        await stored.move(MINUTE)
    return vm_id


async def test_a_point_is_what_the_report_said(stored: Stored) -> None:
    vm_id = await stored.vm()
    await stored.report(vm_id, cpu=45.5, ram=5, ram_total=9, disk=None, disk_total=None, uptime=7)
    found = await metrics.points(
        stored.connection, vm_id, now=stored.now, span=HOUR, by=Resolution.RAW
    )
    assert json.loads(found) == [
        {
            "timestamp": stored.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "cpuUsage": 45.5,
            "ramUsage": 5,
            "ramTotal": 9,
            "diskUsage": None,
            "diskTotal": None,
            "uptime": 7,
        }
    ]


async def test_points_are_those_of_the_span_the_oldest_first(stored: Stored) -> None:
    vm_id = await report_each_minute(stored, 10)
    found = await points(stored, vm_id, 4 * MINUTE)
    assert [point.cpu for point in found] == [7, 8, 9]


async def test_a_point_exactly_a_span_ago_is_outside_and_one_of_now_inside(
    stored: Stored,
) -> None:
    vm_id = await stored.vm()
    await stored.report(vm_id, cpu=1)
    await stored.move(HOUR)
    await stored.report(vm_id, cpu=2)
    assert [point.cpu for point in await points(stored, vm_id, HOUR)] == [2]


async def test_points_of_other_vms_are_theirs(stored: Stored) -> None:
    await report_each_minute(stored, 3)
    assert await points(stored, await stored.vm(), HOUR) == []


@pytest.mark.parametrize("by", [Resolution.FIVE_MINUTES, Resolution.HOUR])
async def test_what_is_not_rolled_up_yet_is_shown_raw(stored: Stored, by: Resolution) -> None:
    vm_id = await report_each_minute(stored, 3)
    assert [point.cpu for point in await points(stored, vm_id, DAY, by)] == [0, 1, 2]


async def test_five_minutes_are_shown_up_to_the_last_bucket_and_reports_after_it(
    stored: Stored,
) -> None:
    start = stored.now
    vm_id = await report_each_minute(stored, 12)
    await rollups.roll_up(stored.connection, rollups.ALL[0], stored.now)
    found = await points(stored, vm_id, DAY, Resolution.FIVE_MINUTES)
    assert [(point.at - start, point.cpu) for point in found] == [
        (0 * MINUTE, 2),
        (5 * MINUTE, 7),
        (10 * MINUTE, 10),
        (11 * MINUTE, 11),
    ]


async def test_hours_are_shown_up_to_the_last_bucket_and_reports_after_it(
    stored: Stored,
) -> None:
    start = stored.now
    vm_id = await report_each_minute(stored, 62)
    for rollup in rollups.ALL:
        await rollups.roll_up(stored.connection, rollup, stored.now)
    found = await points(stored, vm_id, 30 * DAY, Resolution.HOUR)
    assert [(point.at - start, point.cpu) for point in found] == [
        (0 * MINUTE, 29.5),
        (60 * MINUTE, 60),
        (61 * MINUTE, 61),
    ]
