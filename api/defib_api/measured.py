"""What is measured where it happens; metrics.py registers it and reads everything else."""

from prometheus_client import Histogram

from defib_api.ingest.commits import Commits

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Measured:
    """The histograms of one API process."""

    def __init__(self) -> None:
        self.commits = Commits()
        self.requests = Histogram(
            "defib_http_request_duration_seconds",
            "Seconds until an answer begins, by route; reports have figures of their own.",
            ("method", "route", "code"),
            buckets=SECONDS,
            registry=None,
        )
