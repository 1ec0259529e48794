"""Reads a report's bytes: bounded in size and time while they come in."""

import asyncio
from dataclasses import dataclass

from starlette.types import Message, Receive, Scope, Send

from defib_api.answers import CLOSE, Answer, failure
from defib_api.protocol import connection_of

MOST_BYTES = 16 * 1024
MOST_BATCH_BYTES = 1024 * 1024
DEADLINE_SECONDS = 10.0
LINGER_SECONDS = 2.0
LINGER_BYTES = 16 * 1024 * 1024
JSON_TYPE, UTF_8 = b"application/json", frozenset({b"charset=utf-8", b'charset="utf-8"'})


class ClientGone(Exception):
    """The sender hung up before the body was whole; there is nobody to answer."""


class TooLarge(Exception):
    """The body is longer than it can be; `answer` says so to the sender."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class TooSlow(Exception):
    """The body did not come within the deadline."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a body may be, and what its sender is told when it is longer."""

    most: int
    answer: Answer


ONE_REPORT = Limit(
    MOST_BYTES,
    failure(
        413,
        f"the body is larger than {MOST_BYTES} bytes; one report is a few hundred",
        headers=CLOSE,
    ),
)
ONE_BATCH = Limit(
    MOST_BATCH_BYTES,
    failure(413, "the body is larger than 1 MiB; send fewer reports at once", headers=CLOSE),
)
TOO_SLOW = failure(
    408, f"the body did not come within {DEADLINE_SECONDS:.0f} s; send it again", headers=CLOSE
)


def is_json(content_type: bytes) -> bool:
    """True for JSON in UTF-8, however that is written."""
    kind, *parameters = (part.strip().lower() for part in content_type.split(b";"))
    return kind == JSON_TYPE and all(one in UTF_8 for one in parameters if one)


async def read_body(scope: Scope, receive: Receive, limit: Limit = ONE_REPORT) -> bytes:
    """Read the whole body; raise TooLarge, TooSlow or ClientGone."""
    if _declared_length(scope) > limit.most:
        raise TooLarge(limit.answer)
    connection = connection_of(scope)
    if connection is not None and connection.whole:
        return await _read(receive, limit)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await _read(receive, limit)
    except TimeoutError as error:
        raise TooSlow from error


async def send_and_linger(answer: Answer, receive: Receive, send: Send) -> None:
    """Answer a sender that is still sending: read on for a moment, so that it sees the answer.

    Closing at once would reset the connection under it, and the answer would be lost.
    """
    await answer.start(send)
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


async def _read(receive: Receive, limit: Limit) -> bytes:
    chunks: list[bytes] = []
    length = 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        length += len(chunk)
        if length > limit.most:
            raise TooLarge(limit.answer)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
