"""What came of a load: answers by status, latencies, and what was never answered."""

from collections import Counter
from dataclasses import dataclass, field

from defib_dev.bench.figures import percentile


@dataclass(slots=True)
class Tally:
    """Counts and times, in seconds, of one load."""

    acknowledged: Counter[int] = field(default_factory=Counter)
    """How many answers with status 200, by the request's number."""
    other: Counter[int] = field(default_factory=Counter)
    """How many answers with another status, by status."""
    partial: int = 0
    """Answers with status 200 that do not say that all of what was sent is stored."""
    lost: int = 0
    """Requests whose connection went away."""
    unanswered: int = 0
    """Requests, of a schedule also those never sent, without an answer at the end of the wait."""
    in_window: int = 0
    """Answers with status 200 to requests that count: not those of the warm-up."""
    window: float = 0.0
    lasted: float = 0.0
    """From the first request to the last answer, warm-up included."""
    latencies: list[float] = field(default_factory=list)
    """Of answers with status 200, and, as long as we waited, of requests never answered."""
    lateness: list[float] = field(default_factory=list)
    """How much later than due the generator sent."""

    @property
    def ok(self) -> int:
        """All answers with status 200, those of the warm-up included."""
        return self.acknowledged.total()

    @property
    def rate(self) -> float:
        """Answers with status 200 a second."""
        return self.in_window / self.window

    def latency(self, percent: float) -> float:
        """A percentile of the latencies."""
        return percentile(sorted(self.latencies), percent)

    def late(self, percent: float) -> float:
        """A percentile of the generator's own lateness."""
        return percentile(sorted(self.lateness), percent)

    def faults(self) -> str | None:
        """What went wrong, for a person; None where every request was answered with 200."""
        said = [f"{number} answered {status}" for status, number in sorted(self.other.items())]
        said += [f"{self.partial} answered 200 for a part only"] if self.partial else []
        said += [f"{self.lost} connections lost"] if self.lost else []
        said += [f"{self.unanswered} not answered in time"] if self.unanswered else []
        return ", ".join(said) or None
