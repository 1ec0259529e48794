"""The metrics of an API process. Read when Prometheus asks: counting happens elsewhere.

Whoever adds a figure to this process registers it here. Labels are words of ours, never a caller's.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from defib_api.services import Services
from defib_core.config.metrics_port import new_registry

STORED, HUNG_UP = 200, 0
USUAL = (STORED, 400, 401, 403, 413, 415, 429, 500, 503)
"""Shown from the start, so that a first rejection is an increase."""


def registry_of(services: Services) -> CollectorRegistry:
    """Bring all figures of a process together."""
    registry = new_registry("api")
    registry.register(services.measured.commits.reports)
    registry.register(services.measured.commits.seconds)
    registry.register(services.measured.requests)
    registry.register(_Read(services))
    return registry


class _Read(Collector):
    """Figures that the parts keep themselves."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        """Read them all."""
        yield self._reports()
        yield self._batches()
        yield from self._counted()
        yield from self._now()

    def _reports(self) -> Metric:
        family = CounterMetricFamily(
            "defib_reports",
            "Reports by what became of them: the status they were answered with.",
            labels=("via", "outcome", "code"),
        )
        counts = self._services.counts
        for via, tally in (("single", counts.answered), ("batch", counts.batched)):
            for code, reports in _with_usual(tally):
                family.add_metric((via, _outcome_of(code), str(code or "none")), reports)
        return family

    def _batches(self) -> Metric:
        family = CounterMetricFamily(
            "defib_report_batches",
            "Requests with many reports, by the status of the whole.",
            labels=("code",),
        )
        for code, batches in _with_usual(self._services.counts.batches):
            family.add_metric((str(code or "none"),), batches)
        return family

    def _counted(self) -> Iterator[Metric]:
        counts = self._services.counts
        for name, text, value in (
            ("defib_reports_late", "Reports that went into the history only.", counts.late),
            ("defib_reports_flooding", "Reports of VMs that send too many.", counts.floods),
            (
                "defib_report_clocks_dropped",
                "Reports stored without their own clock, which was absurd.",
                counts.timestamps_dropped,
            ),
            ("defib_relay_proofs", "Proofs of relays written down.", counts.relay_proofs),
        ):
            yield CounterMetricFamily(name, text, value=value)

    def _now(self) -> Iterator[Metric]:
        services = self._services
        waiting = services.writer.waiting
        yield GaugeMetricFamily("defib_reports_waiting", "Reports in the queue.", value=waiting)
        yield GaugeMetricFamily(
            "defib_ingest_up",
            "1 while reports can be stored.",
            value=services.writer.away is None,
        )
        if services.cache.is_configured:
            yield GaugeMetricFamily(
                "defib_redis_up",
                "1 while Redis answers, as far as this process knows.",
                value=services.cache.broken is None,
            )


def _with_usual(tally: Tally[int]) -> Iterator[tuple[int, int]]:
    # Copied first: the scrape runs in a thread of its own.
    found = dict(tally)
    for code in sorted({*USUAL, *found}):
        yield code, found.get(code, 0)


def _outcome_of(code: int) -> str:
    if code == HUNG_UP:
        return "hung_up"
    return "accepted" if code == STORED else "rejected"
