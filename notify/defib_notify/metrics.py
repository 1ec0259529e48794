"""The metrics of a notification worker. What waits and what is dead the operator's leader shows."""

from prometheus_client import Counter

from defib_core.config.metrics_port import new_registry


class Metrics:
    """All figures of one worker."""

    def __init__(self) -> None:
        self.registry = new_registry("notify")
        self.deliveries = Counter(
            "defib_deliveries",
            "Attempts to send a message, by what came of them.",
            ("destination", "outcome"),
            registry=self.registry,
        )
        self.pings = Counter(
            "defib_dead_mans_switch_pings",
            "Pings of the dead man's switch: sent, failed, or withheld since Defib is unwell.",
            ("outcome",),
            registry=self.registry,
        )
