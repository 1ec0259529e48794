"""Whether something grows without bound, told from samples taken at even intervals. Pure.

The first fifth is left out: caches fill, tables take their shape. After that the last fifth is held
against the one after the first, each by its median, so that neither a moment's peak nor a moment's
ebb decides.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

PARTS = 5
FEWEST = PARTS * 2


@dataclass(frozen=True, slots=True)
class Bound:
    """How much more is no growth yet: both must be exceeded."""

    share: float
    """Of what was there."""
    least: float
    """In the unit of the samples."""


@dataclass(frozen=True, slots=True)
class Growth:
    """From where to where, and how fast over all that was looked at."""

    before: float
    after: float
    slope: float
    """For each interval between two samples, by the line that fits best."""

    def exceeds(self, bound: Bound) -> bool:
        """Whether it grows, and not only a little."""
        more = self.after - self.before
        return more > bound.least and more > bound.share * self.before


def growth_of(samples: Sequence[float]) -> Growth | None:
    """Say how samples grow; None where there are too few to say."""
    if len(samples) < FEWEST:
        return None
    fifth = len(samples) // PARTS
    looked_at = samples[fifth:]
    return Growth(
        before=statistics.median(looked_at[:fifth]),
        after=statistics.median(looked_at[-fifth:]),
        slope=statistics.linear_regression(range(len(looked_at)), looked_at).slope,
    )
