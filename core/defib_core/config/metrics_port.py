"""The port on which a process shows its metrics to Prometheus: `/metrics`, apart from its own.

Apart, so that the network can be open for the one and closed for the other; metrics name hosts and
ask for no token. Without `DEFIB_METRICS_PORT` nothing listens. Scrapes are answered in threads, of
which there are few: who sends his request slowly, or never, holds one for a while and no longer.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from socketserver import ThreadingMixIn
from typing import TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    make_wsgi_app,
)

from defib_core.config.settings import MetricsSettings, SettingsError

Request: TypeAlias = socket.socket | tuple[bytes, socket.socket]
"""A connection, as the library has it."""
CONNECTIONS_MOST = 16
"""At a time; Prometheus needs one. More are closed unheard."""
CONNECTION_SECONDS = 10.0
"""From its beginning to its end; Prometheus waits as long for a scrape."""


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
        server = _Server(settings.metrics_host, settings.metrics_port, registry)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.metrics_host}:{settings.metrics_port}"
            f" ({error.strerror}); choose another DEFIB_METRICS_PORT"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: a scrape every few seconds is no news."""


class _Server(ThreadingMixIn, WSGIServer):
    """The library's application, behind a bounded number of short connections."""

    daemon_threads = True

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        self._since: dict[Request, float] = {}
        super().__init__((host, port), _Handler)
        self.set_app(make_wsgi_app(registry))

    def verify_request(self, request: Request, client_address: object) -> bool:  # noqa: ARG002
        """Take a connection where there is room."""
        return len(self._since) < CONNECTIONS_MOST

    def process_request(self, request: Request, client_address: object) -> None:
        """Answer it in a thread of its own."""
        self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Request) -> None:
        """Let go of a connection."""
        self._since.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End the connections that last too long; called twice a second."""
        overdue = time.monotonic() - CONNECTION_SECONDS
        for one, since in list(self._since.items()):
            if since < overdue:
                assert isinstance(one, socket.socket), "as of every server over TCP"
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
