"""One keep-alive HTTP/1.1 connection: sends bytes, and says when an answer is whole.

As little work an answer as possible: the generator shares the machine with what it measures. It
reads answers with a Content-Length, which is all that the servers here send.
"""

import asyncio
from typing import Protocol, cast

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
IDLE = -1


class Owner(Protocol):
    """Who is told."""

    def answered(self, wire: "Wire", status: int) -> None:
        """The answer to what was sent is whole."""
        ...

    def lost(self, wire: "Wire") -> None:
        """The connection is gone; what was sent is not answered."""
        ...


class NotUnderstood(Exception):
    """An answer that this reader cannot take apart."""


class Wire(asyncio.Protocol):
    """A connection with at most one request under way: that of number `index`."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._left = 0
        self._status = 0
        self.length = 0
        """Bytes of the body of the last answer."""
        self.index = IDLE
        self.intended = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        # uvloop's transports are no subclass.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own
        """Tell the owner."""
        self._transport = None
        self._owner.lost(self)

    def send(self, request: bytes) -> None:
        """Send one request; into nothing where the connection is gone, which is told anyway."""
        if self._transport is not None:
            self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take what came; tell the owner when the answer is whole."""
        if self._left:
            self._left -= len(data)
        else:
            if self._head:
                data = self._head + data
            end = data.find(HEAD_END)
            if end < 0:
                self._head = data
                return
            self._head = b""
            self._status = int(data[9:12])
            self.length = content_length(data[:end])
            self._left = self.length - (len(data) - end - len(HEAD_END))
        if self._left < 0:
            raise NotUnderstood("more came than the answer's Content-Length")
        if self._left == 0:
            self._owner.answered(self, self._status)


def content_length(head: bytes) -> int:
    """The length of the body that follows a head."""
    at = head.find(LENGTH)
    if at < 0:
        head = head.lower()
        at = head.find(LENGTH)
    if at < 0:
        raise NotUnderstood(f"an answer without Content-Length: {head[:200]!r}")
    end = head.find(b"\r\n", at)
    return int(head[at + len(LENGTH) : end if end >= 0 else len(head)])
