"""When nobody is to be disturbed, and until when. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from defib_notify.configuration import Day, QuietWindow

DAYS = tuple(Day)
MOST_IN_A_ROW = 8
"""Windows that touch are one; past so many it is not quiet but broken."""


def quiet_until(windows: Sequence[QuietWindow], now: datetime) -> datetime:
    """Say when it is not quiet any more: `now` itself where it is not."""
    moment = now
    for _ in range(MOST_IN_A_ROW):
        ends = [end for start, end in _around(windows, moment) if start <= moment < end]
        if not ends:
            break
        moment = max(ends)
    return moment


def _around(windows: Iterable[QuietWindow], now: datetime) -> Iterable[tuple[datetime, datetime]]:
    """Every window that began yesterday or today."""
    for window in windows:
        zone = ZoneInfo(window.timezone)
        today = now.astimezone(zone).date()
        for day in (today - timedelta(days=1), today):
            if DAYS[day.weekday()] not in window.days:
                continue
            start = datetime.combine(day, window.begins, zone)
            last = day if window.ends > window.begins else day + timedelta(days=1)
            yield start, datetime.combine(last, window.ends, zone)
