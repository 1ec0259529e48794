"""The port on which a process shows its metrics to Prometheus: `/metrics`, apart from its own.

Apart, so that the network can be open for the one and closed for the other; metrics name hosts and
ask for no token. Without `DEFIB_METRICS_PORT` nothing listens. Scrapes are answered in a thread.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from defib_core.config.settings import MetricsSettings, SettingsError


def new_registry(process: str) -> CollectorRegistry:
    """Make a registry that says which version runs, and how the process itself is."""
    disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter, which nobody asks for
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    built = Gauge(
        "defib_build_info",
        "1, with the version and the kind of the process.",
        ("process", "version"),
        registry=registry,
    )
    built.labels(process, version("defib")).set(1)
    return registry


@contextmanager
def serving_metrics(settings: MetricsSettings, registry: CollectorRegistry) -> Iterator[None]:
    """Show the registry for as long as the block lasts, where a port is set."""
    if settings.metrics_port is None:
        yield
        return
    try:
        server, thread = start_http_server(
            settings.metrics_port, settings.metrics_host, registry=registry
        )
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.metrics_host}:{settings.metrics_port}"
            f" ({error.strerror}); choose another DEFIB_METRICS_PORT"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
