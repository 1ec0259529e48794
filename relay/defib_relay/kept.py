"""What a kept batch looks like, and how old its reports have become when it is sent.

Ages are counted by the clock that runs from the machine's start, sleep included. After a new start
only the wall clock is left; then every report is old enough to be history only.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from defib_api.ingest.batch import MOST_AGE

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SURELY_LATE = 3600.0
"""Longer than any interval in which a sample still says how its VM is."""

Report = dict[str, object]


@dataclass(frozen=True, slots=True)
class Moment:
    """A reading of the clocks."""

    boot: str
    monotonic: float
    wall: float

    def until(self, later: "Moment") -> float:
        """Seconds from here to a later moment, of another start of the machine perhaps."""
        if self.boot and self.boot == later.boot and later.monotonic >= self.monotonic:
            return later.monotonic - self.monotonic
        return max(later.wall - self.wall, SURELY_LATE)


class _Kept(msgspec.Struct, frozen=True):
    boot: str
    monotonic: float
    wall: float
    reports: list[Report]


_decoder = msgspec.json.Decoder(_Kept)


class NotABatch(Exception):
    """A file that holds no kept batch."""


def now() -> Moment:
    """Read the clocks."""
    return Moment(_boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


@cache
def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def keep(reports: Sequence[Report], taken: Moment) -> bytes:
    """Write down reports whose `ageSeconds` counts to the given moment."""
    return msgspec.json.encode(_Kept(taken.boot, taken.monotonic, taken.wall, list(reports)))


def aged(kept: bytes, at: Moment) -> list[Report]:
    """Read kept reports, each as old as it is now; what is older than the API takes is left out."""
    try:
        batch = _decoder.decode(kept)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotABatch(str(error)) from error
    passed = Moment(batch.boot, batch.monotonic, batch.wall).until(at)
    for report in batch.reports:
        age = report.get("ageSeconds", 0)
        if isinstance(age, int | float):
            report["ageSeconds"] = round(age + passed, 3)
    return [report for report in batch.reports if not _is_too_old(report.get("ageSeconds"))]


def _is_too_old(age: object) -> bool:
    return isinstance(age, int | float) and age > MOST_AGE
