"""The API over TLS: new certificates are taken, old versions and broken files are not."""

import asyncio
import shutil
import socket
import ssl
from pathlib import Path

import pytest
import uvicorn

from defib_api import tls as tls_module
from defib_api.app import create_app
from defib_api.main import server_config
from defib_api.tls import Tls
from defib_core.config.settings import ApiSettings, SettingsError
from defib_dev.components.certificates import Authority
from support.running_api import settings_for
from support.serving import served
from support.waiting import eventually_async


async def shown(port: int, context: ssl.SSLContext) -> bytes:
    """The certificate that the server shows."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    try:
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(found, bytes)
        return found
    finally:
        writer.transport.abort()


async def test_a_new_certificate_is_served_without_a_restart(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_module, "LOOK_SECONDS", 0.05)
    authority = Authority.ensure(tmp_path / "ca")
    first, second = authority.server("first"), authority.server("second")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    shutil.copy(first.certificate, certificate)
    shutil.copy(first.key, key)
    settings = settings_for(database_url, None, tls_cert_file=certificate, tls_key_file=key)
    tls = Tls.of(settings)
    assert tls is not None
    config = server_config(create_app(settings, tls), settings, tls=tls, loop="asyncio")
    async with served(uvicorn.Server(config)) as port:
        trusting = ssl.create_default_context(cafile=str(authority.files.certificate))
        before = await shown(port, trusting)
        with pytest.raises(ssl.SSLError):
            await shown(port, ssl.create_default_context())
        old = ssl.create_default_context(cafile=str(authority.files.certificate))
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shown(port, old)

        certificate.write_text("half a certifi")
        await asyncio.to_thread(tls.look)
        assert await shown(port, trusting) == before, "a broken one changes nothing"
        shutil.copy(second.key, key)
        shutil.copy(second.certificate, certificate)

        async def is_new() -> bool:
            return await shown(port, trusting) != before

        await eventually_async(is_new, what="the new certificate is shown", deadline_seconds=30)
        # Plain HTTP to a TLS port is no request.
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.sendall(b"GET /api/me HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = await asyncio.to_thread(plain.recv, 100)
            assert not answer.startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"DEFIB_TLS_CERT_FILE": "/x"}, "belong together"),
        ({"DEFIB_OIDC_ISSUER": "http://id.example.com"}, "must begin with https"),
        ({"DEFIB_OIDC_ISSUER": "https://id.example.com"}, "DEFIB_OIDC_CLIENT_ID must be set"),
        (
            {"DEFIB_OIDC_ISSUER": "https://id.example.com", "DEFIB_OIDC_CLIENT_ID": "x"},
            "DEFIB_PUBLIC_URL must be set",
        ),
        ({"DEFIB_PROXY_USER_HEADER": "X-User"}, "DEFIB_PROXY_CIDRS must be set"),
        ({"DEFIB_PROXY_CIDRS": "0.0.0.0/0"}, "is everybody"),
        ({"DEFIB_PROXY_CIDRS": "10.0.0.1/8"}, "DEFIB_PROXY_CIDRS"),
        ({"DEFIB_ROLES": "admins"}, "ROLE=GROUP"),
        ({"DEFIB_PROXY_USER_HEADER": "a: b"}, "DEFIB_PROXY_USER_HEADER"),
    ],
)
def test_settings_that_would_let_in_the_wrong_people_are_refused(
    variables: dict[str, str], why: str
) -> None:
    environment = {"DEFIB_DATABASE_URL": "postgresql://a@b/c", **variables}
    with pytest.raises(SettingsError, match=why):
        ApiSettings.from_environment(environment)
