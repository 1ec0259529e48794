"""The answer of /api/events: until its reader leaves, is slow or may no longer, or we stop."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from defib_api.events import messages
from defib_api.events.feed import Feed, Full, Listener
from defib_api.protocol import CONNECTION, Connection

MEDIA_TYPE = "text/event-stream"
BEAT_SECONDS = 15.0
SEND_SECONDS = 10.0
"""A reader that takes nothing for so long is cut off."""
LASTS_SECONDS = 900.0
"""Then the reader connects again, and proves again who it is; with chance, so not all at once."""
RETRY_MS = 2000


@dataclass(frozen=True, slots=True)
class Reader:
    """Who listens, and whether he still may: a session or token may end meanwhile."""

    name: str
    still_may: Callable[[], bool]
    last_seen: int | None
    """The number of the last event that he has."""


class EventStream(Response):
    """Tells one listener everything."""

    media_type = MEDIA_TYPE

    def __init__(
        self, feed: Feed, reader: Reader, full: Callable[[Full], Response], status_code: int = 200
    ) -> None:
        """`full` makes the answer where there is no place for another."""
        super().__init__(
            status_code=status_code,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        del self.headers["content-length"]
        self._feed = feed
        self._reader = reader
        self._full = full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until one of the ends."""
        try:
            await self._stream(scope, receive, send)
        except Full as full:
            await self._full(full)(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection: Connection = scope["extensions"][CONNECTION]
        ends = asyncio.get_running_loop().time() + LASTS_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        with self._feed.listening(self._reader.name) as listener:
            first = await self._feed.first_words(self._reader.last_seen)
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            left = asyncio.create_task(_left(receive))
            stops = asyncio.create_task(connection.stopping.wait())
            try:
                await _send(send, b"retry: %d\n\n" % RETRY_MS + b"".join(first))
                await self._tell(listener, send, {left, stops}, ends)
                await _send(send, b"", last=True)
            except TimeoutError:
                connection.cut()
            finally:
                left.cancel()
                stops.cancel()

    async def _tell(
        self, listener: Listener, send: Send, ended: set["asyncio.Task[bool]"], until: float
    ) -> None:
        clock = asyncio.get_running_loop().time
        while clock() < until and not listener.is_lost and self._reader.still_may():
            message = asyncio.create_task(listener.next())
            try:
                await asyncio.wait(
                    {message, *ended}, timeout=BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if any(one.done() for one in ended):
                    return
                await _send(send, message.result() if message.done() else messages.BEAT)
            finally:
                message.cancel()


async def _send(send: Send, body: bytes, *, last: bool = False) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": body, "more_body": not last})


async def _left(receive: Receive) -> bool:
    """Wait until the reader is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    return True
