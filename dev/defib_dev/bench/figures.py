"""What a benchmark says: figures with their unit, spread, reference and target.

Values only; nothing here measures or prints.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from defib_dev.components.errors import ComponentError

MS = "ms"
PER_SECOND = "reports/s"
MICROSECONDS = "us CPU/report"
TIMES = "x"

_MILLISECONDS_A_SECOND = 1000.0


class BenchError(ComponentError):
    """A measurement is not what it says it is, so it is not made; the text says what to do."""


class Verdict(StrEnum):
    """How a figure stands against its target."""

    AIM = "aim reached"
    LEAST = "reached"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should be at least, and what it should rather be, on two cores."""

    least: float
    aim: float
    higher_is_better: bool

    def verdict(self, value: float) -> Verdict:
        """Judge a median."""
        for bound, verdict in ((self.aim, Verdict.AIM), (self.least, Verdict.LEAST)):
            if value >= bound if self.higher_is_better else value <= bound:
                return verdict
        return Verdict.MISSED


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: a value a repeat, and `n` single observations behind them all."""

    key: str
    what: str
    unit: str
    repeats: tuple[float, ...]
    n: int
    reference: str | None = None
    """The key of the figure of the same run that this one is to be read beside."""
    target: Target | None = None

    def __post_init__(self) -> None:
        if not self.repeats or not all(math.isfinite(value) for value in self.repeats):
            raise BenchError(f"{self.key} was not measured: its repeats are {self.repeats}")

    @property
    def median(self) -> float:
        """The middle repeat."""
        return statistics.median(self.repeats)

    @property
    def verdict(self) -> Verdict | None:
        """How the median stands against the target, if there is one."""
        return None if self.target is None else self.target.verdict(self.median)


@dataclass(slots=True)
class Section:
    """Figures measured under the same conditions."""

    name: str
    title: str
    conditions: dict[str, str | int | float] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)

    def add(
        self,
        key: str,
        what: str,
        unit: str,
        repeats: Sequence[float],
        *,
        n: int | None = None,
        reference: str | None = None,
        target: Target | None = None,
    ) -> None:
        """Add a figure; its key is within the section, and so is its reference's."""
        self.figures.append(
            Figure(
                key=f"{self.name}.{key}",
                what=what,
                unit=unit,
                repeats=tuple(repeats),
                n=len(repeats) if n is None else n,
                reference=None if reference is None else f"{self.name}.{reference}",
                target=target,
            )
        )


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The nearest rank: the smallest value that `percent` of all do not exceed."""
    if not ascending:
        raise BenchError("no answer came, so there is no percentile; see the server's log")
    rank = math.ceil(len(ascending) * percent / 100)
    return ascending[max(rank, 1) - 1]


def milliseconds(seconds: float) -> float:
    """Seconds in the unit that answers are measured in."""
    return seconds * _MILLISECONDS_A_SECOND
