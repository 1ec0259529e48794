"""A webhook behind a certificate authority of one's own."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from defib_dev.components.certificates import Authority
from defib_notify import webhook
from defib_notify.configuration import Webhook
from defib_notify.trust import trust_of
from defib_notify.undelivered import Undelivered
from notify.outbox import SECRET, a_delivery, config_of


@asynccontextmanager
async def https(authority: Authority) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that takes webhooks over TLS; also what it got."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        got.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    pair = authority.server("hooks")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", got


async def test_an_authority_of_ones_own_is_trusted_beside_the_public_ones(tmp_path: Path) -> None:
    authority = Authority.ensure(tmp_path)
    async with https(authority) as (url, got):
        hook = Webhook(url=url, secret=SecretStr(SECRET))
        config = config_of(caBundle=authority.pem)
        trust = trust_of(config)
        await webhook.send(hook, a_delivery(), config.allowed_networks, trust)
        (body,) = got
        assert json.loads(body)["type"] == "defib.notification"
        assert len(trust.get_ca_certs()) > 10, "the public ones are still there"
        with pytest.raises(Undelivered, match="certificate verify failed"):
            await webhook.send(hook, a_delivery(), config.allowed_networks, trust_of(config_of()))
        assert len(got) == 1


@pytest.mark.parametrize("bundle", ["", "geheim", "-----BEGIN CERTIFICATE-----\ngeheim\n"])
def test_a_bundle_that_is_none_is_refused_unseen(bundle: str) -> None:
    with pytest.raises(ValidationError) as refused:
        config_of(caBundle=bundle)
    (error,) = refused.value.errors(include_input=False)
    assert error["loc"] == ("caBundle",)
    assert "geheim" not in error["msg"]
