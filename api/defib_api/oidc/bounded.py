"""A way to the OpenID provider on which no answer takes more memory than it may."""

import ssl
from collections.abc import AsyncIterator

import httpx2

MOST_BYTES = 1 << 20
"""Of an answer's body. A description has some 5 KB, keys less; Authlib reads all at once."""


class AnswerTooLong(httpx2.TransportError):
    """The provider's answer is longer than any that makes sense."""


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """Breaks off an answer that is too long, and takes none that has to be unpacked."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it. Raises AnswerTooLong, also while the body is read."""
        request.headers["Accept-Encoding"] = "identity"
        answer = await super().handle_async_request(request)
        packed = answer.headers.get("Content-Encoding", "identity")
        assert isinstance(answer.stream, httpx2.AsyncByteStream)
        if packed != "identity":
            await answer.stream.aclose()
            raise AnswerTooLong(f"the answer is packed ({packed[:20]}), which nobody asked for")
        answer.stream = _Bounded(answer.stream)
        return answer


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        async for part in self._stream:
            taken += len(part)
            if taken > MOST_BYTES:
                raise AnswerTooLong(f"the answer is longer than {MOST_BYTES} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
