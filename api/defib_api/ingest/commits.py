"""How large commits of reports are and how long they take: noted once a commit, not a report."""

from prometheus_client import Histogram

SIZES = (1, 3, 10, 30, 100, 300, 1000)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Commits:
    """Two histograms, which metrics.py registers."""

    def __init__(self) -> None:
        self.reports = Histogram(
            "defib_commit_reports", "Reports in one commit.", buckets=SIZES, registry=None
        )
        self.seconds = Histogram(
            "defib_commit_duration_seconds",
            "How long a commit of reports took.",
            buckets=SECONDS,
            registry=None,
        )

    def note(self, reports: int, seconds: float) -> None:
        """Note a commit."""
        self.reports.observe(reports)
        self.seconds.observe(seconds)
