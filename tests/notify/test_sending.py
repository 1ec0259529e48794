"""What leaves the house: signed so that others can check it, and never to where it must not go."""

# ruff: noqa: ANN401 - rows and changed fields are of any type

import asyncio
import email
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from pydantic import SecretStr
from standardwebhooks import Webhook as IndependentWebhook

from defib_dev.components.ports import free_port
from defib_notify import by_apprise, webhook
from defib_notify.configuration import Webhook
from defib_notify.guard import AddressRefused, guarded, is_allowed
from defib_notify.sending import MOST_ATTEMPTS, GiveUp, TryAgain, after
from defib_notify.undelivered import Undelivered
from notify.outbox import SECRET, a_delivery

ALLOWED = (ip_network("127.0.0.0/8"),)


@dataclass
class Receiver:
    """An HTTP server that keeps what it gets."""

    port: int = 0
    status: str = "204 No Content"
    headers: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        pairs = [line.split(": ", 1) for line in head.split("\r\n")[1:] if line]
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.got.append((headers, body))
        answer = f"HTTP/1.1 {self.status}\r\n{self.headers}Content-Length: 0\r\n\r\n"
        writer.write(answer.encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving(**changes: Any) -> AsyncIterator[Receiver]:
    receiver = Receiver(**changes)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


def hook(url: str) -> Webhook:
    return Webhook(url=url, secret=SecretStr(SECRET))


async def test_a_webhook_is_signed_as_others_understand_it() -> None:
    async with receiving() as receiver:
        await webhook.send(hook(receiver.url), a_delivery(), ALLOWED)
    ((headers, body),) = receiver.got
    checked = IndependentWebhook(SECRET).verify(body.decode(), headers)
    assert checked == json.loads(body)
    assert checked["type"] == "defib.notification"
    assert checked["data"]["notices"][0]["vm"]["hostname"] == "web-1"
    assert headers["webhook-id"] == "msg_7"
    assert SECRET not in str(headers) + body.decode()


async def test_a_forged_body_does_not_pass() -> None:
    async with receiving() as receiver:
        await webhook.send(hook(receiver.url), a_delivery(), ALLOWED)
    ((headers, body),) = receiver.got
    with pytest.raises(Exception, match="No matching signature"):
        IndependentWebhook(SECRET).verify(body.decode().replace("web-1", "web-2"), headers)


@pytest.mark.parametrize(
    ("status", "is_final"),
    [
        ("500 Internal Server Error", False),
        ("503 Service Unavailable", False),
        ("429 Too Many Requests", False),
        ("404 Not Found", True),
        ("401 Unauthorized", True),
    ],
)
async def test_an_answer_that_is_no_success_is_told(status: str, is_final: bool) -> None:
    async with receiving(status=status) as receiver:
        with pytest.raises(Undelivered, match=f"answered {status[:3]}") as failed:
            await webhook.send(hook(receiver.url), a_delivery(), ALLOWED)
    assert failed.value.is_final is is_final


async def test_a_redirection_is_not_followed() -> None:
    async with receiving() as other, receiving(status="302 Found") as receiver:
        receiver.headers = f"Location: {other.url}\r\n"
        with pytest.raises(Undelivered, match="answered 302"):
            await webhook.send(hook(receiver.url), a_delivery(), ALLOWED)
        assert other.got == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433"])
async def test_a_webhook_inward_is_refused_before_a_byte_is_sent(host: str) -> None:
    async with receiving() as receiver:
        with pytest.raises(Undelivered):
            await webhook.send(hook(f"http://{host}:{receiver.port}/"), a_delivery(), ())
        assert receiver.got == []


async def test_a_name_that_leads_inward_is_refused_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever a name answered when it was looked at: what counts is where it leads now."""
    async with receiving() as receiver:
        inward = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: inward)
        with pytest.raises(Undelivered, match=r"127\.0\.0\.1 is not public") as refused:
            await webhook.send(hook("http://harmless.example.com/"), a_delivery(), ())
        assert refused.value.is_final
        assert receiver.got == []


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("::10.0.0.1", False),
        ("fec0::1", False),
        ("4000::1", False),
    ],
)
def test_only_public_addresses_are_allowed(address: str, allowed: bool) -> None:
    assert is_allowed(ip_address(address), ()) is allowed


def test_a_private_network_may_be_allowed_and_no_other_is() -> None:
    networks = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    assert is_allowed(ip_address("10.1.2.3"), networks)
    assert is_allowed(ip_address("::ffff:10.1.2.3"), networks)
    assert is_allowed(ip_address("fd12::1"), networks)
    assert not is_allowed(ip_address("10.2.0.1"), networks)


def test_outside_of_sending_nothing_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with guarded(()), pytest.raises(AddressRefused):
            socket.create_connection(address, timeout=5)
        socket.create_connection(address, timeout=5).close()


# Apprise


class Mailbox:
    """Keeps the mail that comes."""

    def __init__(self) -> None:
        self.mails: list[str] = []

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802 - its name
        self.mails.append(envelope.content.decode())
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    """A real SMTP server."""
    kept, port = Mailbox(), free_port()
    controller = Controller(kept, hostname="127.0.0.1", port=port, ready_timeout=60)
    controller.start()
    try:
        yield kept, port
    finally:
        controller.stop()


def mail_url(port: int) -> SecretStr:
    return SecretStr(
        f"mailto://127.0.0.1:{port}?from=defib@example.com&to=ops@example.com&mode=insecure"
    )


async def test_mail_arrives_by_apprise(mailbox: tuple[Mailbox, int]) -> None:
    kept, port = mailbox
    await by_apprise.send(mail_url(port), a_delivery(), ALLOWED)
    (mail,) = kept.mails
    assert "To: ops@example.com" in mail
    assert "web-1" in mail


async def test_other_peoples_words_are_no_markup_in_a_mail(mailbox: tuple[Mailbox, int]) -> None:
    """Mail may be HTML, as chats are; a reason holds what Proxmox or a person said."""
    kept, port = mailbox
    (one, *_) = a_delivery().notices
    detail = "lock: <img src=https://evil.example.com/x onerror=alert(1)> <b>*_`&"
    delivery = replace(a_delivery(), notices=[{**one, "detail": detail}])
    url = SecretStr(mail_url(port).get_secret_value() + "&format=html")
    await by_apprise.send(url, delivery, ALLOWED)
    parts = email.message_from_string(kept.mails[0]).walk()
    html = [
        one.get_payload(decode=True).decode()  # type: ignore[union-attr]  # a part that is text
        for one in parts
        if one.get_content_type() == "text/html"
    ]
    assert html
    assert "<img" not in "".join(html)
    assert "&lt;img" in "".join(html)


async def test_mail_inward_is_refused_unless_that_network_is_allowed(
    mailbox: tuple[Mailbox, int],
) -> None:
    kept, port = mailbox
    with pytest.raises(Undelivered, match=r"127\.0\.0\.1 is not public") as refused:
        await by_apprise.send(mail_url(port), a_delivery(), ())
    assert refused.value.is_final
    assert kept.mails == []


async def test_a_mail_server_that_is_away_is_tried_again() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(Undelivered, match="mailto://") as failed:
            await by_apprise.send(mail_url(closed.getsockname()[1]), a_delivery(), ALLOWED)
    assert not failed.value.is_final


async def test_an_address_that_apprise_does_not_take_is_given_up() -> None:
    with pytest.raises(Undelivered, match="not one that Apprise takes") as failed:
        await by_apprise.send(SecretStr("slack://geheim"), a_delivery(), ALLOWED)
    assert failed.value.is_final
    assert "geheim" not in str(failed.value)


# again, or never


def test_pauses_grow_and_end() -> None:
    error = Undelivered("it was answered 500")
    pauses = [after(error, attempts) for attempts in range(1, MOST_ATTEMPTS)]
    seconds = [one.after.total_seconds() for one in pauses if isinstance(one, TryAgain)]
    assert seconds == sorted(seconds)
    assert (seconds[0], seconds[-1]) == (30, 3600)
    assert isinstance(after(error, MOST_ATTEMPTS), GiveUp)
    assert sum(seconds) > timedelta(hours=2).total_seconds()
    assert isinstance(after(Undelivered("no", is_final=True), 1), GiveUp)
