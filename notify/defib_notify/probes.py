"""Liveness and readiness of the worker over HTTP, for the kubelet. Answered in a thread.

Alive: its loop turns, well or not. Ready: it got through a whole turn lately, so the database
answers. Whether messages arrive is another question: `defib notify list` and an alert tell.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from defib_core.config.settings import NotifySettings, SettingsError

TURN_SECONDS = 300.0
"""Longer than eight messages that nobody answers take."""
WELL_SECONDS = 60.0


class Pulse:
    """When the worker's loop last turned, and how that went."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._turned_at = monotonic()
        self._well_at: float | None = None
        self._trouble = "it has not got through a turn yet"

    def turned(self) -> None:
        """Note a whole turn."""
        self._turned_at = self._well_at = self._monotonic()

    def failed(self, why: str) -> None:
        """Note a turn that broke off."""
        self._turned_at, self._trouble = self._monotonic(), why

    def is_stuck(self) -> bool:
        """Say whether the process is better started anew."""
        return self._monotonic() - self._turned_at > TURN_SECONDS

    def trouble(self) -> str | None:
        """Say why it does not do its work; None where it does."""
        now = self._monotonic()
        if self._well_at is not None and now - self._well_at <= WELL_SECONDS:
            return None
        if now - self._turned_at > WELL_SECONDS:
            return "its loop has not turned for a while"
        return self._trouble


@contextmanager
def serving_probes(settings: NotifySettings, pulse: Pulse) -> Iterator[None]:
    """Answer /livez and /readyz for as long as the block lasts, where a port is set."""
    if settings.probe_port is None:
        yield
        return
    place = (settings.probe_host, settings.probe_port)
    try:
        server = ThreadingHTTPServer(place, _handler(pulse))
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {place[0]}:{place[1]} ({error.strerror});"
            " choose another DEFIB_PROBE_PORT"
        ) from error
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, name="probes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(pulse: Pulse) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            status, body = _answer(pulse, self.path)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing: a probe every few seconds is no news."""

    return Handler


def _answer(pulse: Pulse, path: str) -> tuple[int, dict[str, object]]:
    match path:
        case "/livez":
            is_alive = not pulse.is_stuck()
            return (200 if is_alive else 503), {"alive": is_alive}
        case "/readyz":
            why = pulse.trouble()
            return (200 if why is None else 503), {"ready": why is None, "why": why}
        case _:
            return 404, {"message": "there is /livez and /readyz"}
