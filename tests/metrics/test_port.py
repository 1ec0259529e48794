"""The port of the metrics: who asks slowly, or in numbers, keeps no scrape away for long."""

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from defib_core.config import metrics_port
from defib_core.config.metrics_port import CONNECTIONS_MOST, new_registry, serving_metrics
from defib_core.config.settings import MetricsSettings
from defib_dev.components.ports import free_port
from support.waiting import eventually


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(metrics_port, "CONNECTION_SECONDS", 1.0)
    chosen = free_port()
    settings = MetricsSettings(metrics_host="127.0.0.1", metrics_port=chosen)
    with serving_metrics(settings, new_registry("test")):
        yield chosen


def scraped(port: int) -> bool:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and "defib_build_info" in answer.text


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_a_request_that_is_never_whole_is_ended(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
        assert scraped(port), "beside it others are answered"
        slow.settimeout(30)
        assert ended(slow)


def test_many_connections_are_few_threads_and_pass(port: int) -> None:
    many = [socket.create_connection(("127.0.0.1", port)) for _ in range(3 * CONNECTIONS_MOST)]
    try:
        for one in many:
            one.settimeout(0)
        eventually(
            lambda: sum(ended(one) for one in many) >= 2 * CONNECTIONS_MOST,
            what="those beyond the most are closed",
        )
        assert threading.active_count() < 2 * CONNECTIONS_MOST
        eventually(lambda: scraped(port), what="a scrape is answered again", deadline_seconds=30)
    finally:
        for one in many:
            one.close()
