"""An OpenID provider that answers without end takes neither memory nor a connection for long."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from defib_api.oidc import provider as module
from defib_api.oidc.attempt import Attempt
from defib_api.oidc.provider import Provider, ProviderFails
from identity.oidc_provider import CLIENT, ROLES
from support.running_api import settings_for

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"\r\n{")
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


async def packed(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + b"\x1f\x8b" * 10)
    await writer.drain()


async def byte_by_byte(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def provider_that(answer: Answer) -> AsyncIterator[Provider]:
    """One that answers so, whatever it is asked."""
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await answer(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = settings_for(
        "postgresql://nobody@127.0.0.1/none",
        None,
        public_url="http://127.0.0.1:1",
        oidc_issuer=origin,
        oidc_client_id=CLIENT,
        roles=ROLES,
    )
    async with server:
        yield Provider(settings)
    assert asked.is_set(), "it was asked"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (endless, "AnswerTooLong: the answer is longer than 1048576 bytes"),
        (packed, r"AnswerTooLong: the answer is packed \(gzip\)"),
    ],
)
async def test_an_answer_without_end_is_broken_off(answer: Answer, said: str) -> None:
    async with provider_that(answer) as provider:
        with pytest.raises(ProviderFails, match=said):
            await provider.address_for(Attempt.begin("/"))


async def test_an_answer_that_trickles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_SECONDS", 1.0)
    async with provider_that(byte_by_byte) as provider:
        with pytest.raises(ProviderFails, match="it took longer than 1 s"):
            await provider.address_for(Attempt.begin("/"))
