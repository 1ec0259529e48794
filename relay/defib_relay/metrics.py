"""The metrics of a relay. Read when Prometheus asks: counting happens elsewhere."""

from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from defib_core.config.metrics_port import new_registry
from defib_relay.forwarding import Forwarding
from defib_relay.gathering import Gathering
from defib_relay.spool import Spool


class Parts(Protocol):
    """What a relay is made of."""

    @property
    def spool(self) -> Spool:
        """Where reports are kept."""
        ...

    @property
    def gathering(self) -> Gathering:
        """What writes them."""
        ...

    @property
    def forwarding(self) -> Forwarding:
        """What sends them."""
        ...


def registry_of(relay: Parts) -> CollectorRegistry:
    """Bring all figures of a relay together."""
    registry = new_registry("relay")
    registry.register(_Read(relay))
    return registry


class _Read(Collector):
    def __init__(self, relay: Parts) -> None:
        self._relay = relay

    def collect(self) -> Iterable[Metric]:
        spool, forwarding = self._relay.spool, self._relay.forwarding
        yield GaugeMetricFamily(
            "defib_relay_waiting", "Reports on this relay's disk.", value=spool.waiting
        )
        yield CounterMetricFamily(
            "defib_relay_forwarded", "Reports that the API took.", value=forwarding.forwarded
        )
        yield CounterMetricFamily(
            "defib_relay_lost", "Reports dropped, across restarts.", value=spool.lost
        )
        yield GaugeMetricFamily(
            "defib_relay_api_up", "1 while the API takes reports.", value=forwarding.away is None
        )
        yield GaugeMetricFamily(
            "defib_relay_disk_up",
            "1 while the disk takes what is written.",
            value=self._relay.gathering.disk_error is None,
        )
