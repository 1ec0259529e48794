"""Answers made without FastAPI: bytes and headers, ready to send."""

from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from starlette.types import Send

Headers = tuple[tuple[bytes, bytes], ...]

SAFE_HEADERS: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
JSON_HEADERS: Headers = ((b"content-type", b"application/json"), *SAFE_HEADERS)
HEADS = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())
    + b"".join(b"%b: %b\r\n" % header for header in JSON_HEADERS)
    for status in HTTPStatus
}
LENGTH = b"content-length: "
CLOSE: Headers = ((b"connection", b"close"),)


class _Words(msgspec.Struct, frozen=True):
    message: str


_message_decoder = msgspec.json.Decoder(_Words)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a JSON body, and headers beyond those of every answer."""

    status: int
    body: bytes
    headers: Headers = ()

    async def send(self, send: Send) -> None:
        """Send it whole."""
        await self.start(send)
        await send({"type": "http.response.body", "body": self.body})

    @property
    def whole(self) -> bytes:
        """It as HTTP/1.1 has it, head and body, on a connection that is kept."""
        more = b"".join(b"%b: %b\r\n" % header for header in self.headers)
        return b"%b%b%d\r\n%b\r\n%b" % (HEADS[self.status], LENGTH, len(self.body), more, self.body)

    async def start(self, send: Send) -> None:
        """Send the status and the headers only."""
        length = (b"content-length", b"%d" % len(self.body))
        headers = [*JSON_HEADERS, length, *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})


def failure(status: int, message: str, *, headers: Headers = (), **more: object) -> Answer:
    """Build `{"success": false, "message": ...}` and what more is known."""
    body = msgspec.json.encode({"success": False, "message": message, **more})
    return Answer(status, body, headers)


def retry_after(seconds: int) -> Headers:
    """When the sender may try again."""
    return ((b"retry-after", b"%d" % seconds),)


def message_of(answer: Answer) -> str:
    """The words of an answer that `failure` built."""
    return _message_decoder.decode(answer.body).message
