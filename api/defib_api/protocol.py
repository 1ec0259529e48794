"""Uvicorn's HTTP protocol with the two limits it lacks: time and size of the request's head.

It also tells answers without an end that the server stops, and lets them cut a reader off. And it
cancels the keep-alive timer of a connection that was reset, which uvicorn 0.54 leaves to run
out, holding the whole request in memory.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
HEAD_BYTES = 32 * 1024
TOO_LONG = "The request's headers are too large."


CONNECTION = "defib.connection"
"""The extension of the scope under which a request finds its Connection."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What an answer without an end has to know of its connection."""

    stopping: asyncio.Event
    """The server stops: come to an end."""
    cut: Callable[[], None]
    """Close it without waiting for what the reader does not take."""


class GuardedProtocol(HttpToolsProtocol):
    """Closes connections whose head comes too slowly or is too long."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._stopping = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect the first head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let every timer go."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._head_is_there()

    def data_received(self, data: bytes) -> None:
        """Count what came of an unfinished head."""
        super().data_received(data)
        if self._head_timer is None:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._head_is_there()
            self.send_400_response(TOO_LONG)

    def on_message_begin(self) -> None:
        """Expect the next head on a kept connection."""
        super().on_message_begin()
        extensions: dict[str, Any] = {CONNECTION: Connection(self._stopping, self.transport.abort)}
        self.scope["extensions"] = extensions
        if self._head_timer is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_is_there()
        super().on_headers_complete()

    def shutdown(self) -> None:
        """Tell an answer that goes on that the server stops."""
        self._stopping.set()
        super().shutdown()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def _head_is_there(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
