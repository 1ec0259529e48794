"""Times of scenarios: `90s`, `5m`, `1h30m`, `15m30s`, and windows `15m..20m` and `>=15m`. Pure.

A moment or a length of time is a float: seconds, of virtual time, since the start.
"""

import re
from dataclasses import dataclass

HOUR, MINUTE = 3600, 60
LENGTH = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
FORM = "a time is written like 90s, 5m, 1h30m or 15m30s"
WINDOW_FORM = "a window is written like 15m..20m or >=15m"


class NoMoment(ValueError):
    """It is not a time; the text says how one is written."""


def parse_moment(text: str) -> float:
    """Read a time as seconds; raises NoMoment."""
    match = LENGTH.fullmatch(text)
    if match is None or not text:
        raise NoMoment(f"{text!r} is no time: {FORM}")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * HOUR + minutes * MINUTE + seconds


def format_moment(seconds: float) -> str:
    """Write a time as scenarios do, to a tenth of a second."""
    sign, tenths = ("-" if seconds < 0 else ""), round(abs(seconds) * 10)
    hours, tenths = divmod(tenths, HOUR * 10)
    minutes, tenths = divmod(tenths, MINUTE * 10)
    rest = f"{tenths // 10}.{tenths % 10}s" if tenths % 10 else f"{tenths // 10}s"
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", rest if tenths else ""]
    return sign + ("".join(parts) or "0s")


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to `end`, both inclusive; `end` None: for ever."""

    start: float
    end: float | None

    def holds(self, moment: float) -> bool:
        """Whether a moment lies in it."""
        return self.start <= moment and (self.end is None or moment <= self.end)

    def overlaps(self, start: float, end: float | None) -> bool:
        """Whether an interval (`end` None: it lasts) has a moment in common with this window."""
        begins_before = self.end is None or start <= self.end
        return begins_before and (end is None or end >= self.start)

    def __str__(self) -> str:
        start = format_moment(self.start)
        if self.end is None:
            return f">={start}"
        return start if self.start == self.end else f"{start}..{format_moment(self.end)}"


def parse_window(text: str) -> Window:
    """Read `a..b`, `>=a`, or one moment alone; raises NoMoment."""
    if text.startswith(">="):
        return Window(parse_moment(text[2:].strip()), None)
    start, dots, end = (part.strip() for part in text.partition(".."))
    if not dots:
        moment = parse_moment(start)
        return Window(moment, moment)
    window = Window(parse_moment(start), parse_moment(end))
    if window.end is not None and window.end < window.start:
        raise NoMoment(f"{text!r} ends before it begins: {WINDOW_FORM}")
    return window
