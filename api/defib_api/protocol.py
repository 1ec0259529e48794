"""Uvicorn's HTTP protocol with the two limits it lacks: time and size of the request's head.

It also tells answers without an end that the server stops, and lets them cut a reader off. And it
cancels the keep-alive timer of a connection that was reset, which uvicorn 0.54 leaves to run
out, holding the whole request in memory.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
HEAD_BYTES = 32 * 1024
TOO_LONG = "The request's headers are too large."


CONNECTION = "defib.connection"
"""The extension of the scope under which a request finds its Connection."""


@dataclass(slots=True)
class Connection:
    """What an application has to know of the connection a request came by."""

    stopping: asyncio.Event
    """The server stops: come to an end."""
    cut: Callable[[], None]
    """Close it without waiting for what the reader does not take."""
    write: Callable[[bytes], bool]
    """Answer with these bytes, head and body, in one piece. False where it cannot be done so, and
    nothing was written: the connection is to be closed, or somebody reads too slowly."""
    whole: bool = False
    """All of the request is there; nothing of it need be waited for."""


def connection_of(scope: Scope) -> Connection | None:
    """Find it; None where something else than this server serves."""
    found: Connection | None = scope.get("extensions", {}).get(CONNECTION)
    return found


class GuardedProtocol(HttpToolsProtocol):
    """Closes connections whose head comes too slowly or is too long."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._stopping = asyncio.Event()
        self._in_head = True

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
        """Count what came of an unfinished head, and give it a deadline.

        A head that came whole needs none, and nearly all of them do.
        """
        super().data_received(data)
        if not self._in_head:
            return
        if self._head_timer is None and self.parser is not None:
            self._expect_head()
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._head_is_there()
            self.send_400_response(TOO_LONG)

    def on_message_begin(self) -> None:
        """Expect the next head on a kept connection."""
        super().on_message_begin()
        self._connection = Connection(self._stopping, self.transport.abort, self._write_whole)
        extensions: dict[str, Any] = {CONNECTION: self._connection}
        self.scope["extensions"] = extensions
        self._in_head = True

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_is_there()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is, too."""
        self._connection.whole = True
        super().on_message_complete()

    def shutdown(self) -> None:
        """Tell an answer that goes on that the server stops."""
        self._stopping.set()
        super().shutdown()

    def _write_whole(self, answer: bytes) -> bool:
        """What uvicorn's `send` does in two steps, with all of its checks, for most answers."""
        cycle = self.cycle
        busy = self.pipeline or self.flow.write_paused
        if busy or cycle.disconnected or cycle.response_started or not cycle.keep_alive:
            return False
        cycle.response_started = cycle.response_complete = True
        self.transport.write(answer)
        cycle.message_event.set()
        cycle.on_response()
        return True

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def _head_is_there(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
