"""Several endpoints, verified TLS, proxies, and whatever else may sit at an endpoint's address."""

import asyncio
import gzip
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from defib_core.domain.actions import PowerStep
from defib_dev.components.certificates import Authority
from defib_dev.components.ports import free_port
from defib_dev.proxmox_sim.faults import ApiMode, PostFault
from defib_operator.proxmox import (
    Accepted,
    AgentPing,
    OutcomeUnknown,
    ProxmoxClient,
    ProxmoxGarbage,
    ProxmoxMisconfigured,
    ProxmoxUnreachable,
    Refused,
)
from support.proxmox import (
    TOKEN_ID,
    RunningSimulator,
    client_settings,
    running_simulator,
    server_certificate,
)

Answer = web.Response | Awaitable[web.Response]


@pytest.fixture
async def second(
    simulator: RunningSimulator, authority_folder: Path
) -> AsyncIterator[RunningSimulator]:
    """A second face of the cluster, as it seems; tests tell them apart by the VMs they list."""
    async with running_simulator(authority_folder) as running:
        yield running


@asynccontextmanager
async def tcp_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Something at a free port that is no Proxmox."""
    writers: list[asyncio.StreamWriter] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(reader, writer)

    server = await asyncio.start_server(keep, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


@asynccontextmanager
async def web_server(
    authority: Authority, answer: Callable[[web.Request], Answer]
) -> AsyncIterator[str]:
    """An HTTPS server of something that is no Proxmox."""

    async def handle(request: web.Request) -> web.Response:
        given = answer(request)
        return given if isinstance(given, web.Response) else await given

    files = server_certificate(authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        assert runner.server is not None
        for connection in runner.server.connections:
            assert connection.transport is not None
            connection.transport.abort()
        await runner.cleanup()


async def test_a_read_goes_on_to_the_next_endpoint_and_remembers_it(
    simulator: RunningSimulator, second: RunningSimulator
) -> None:
    second.guest(200, "db-0")
    both = (simulator.simulator.api_url, second.simulator.api_url)
    async with simulator.client(endpoints=both) as client:
        assert (await client.inventory()).vms == ()
        simulator.dc.mode = ApiMode.UNREACHABLE
        await simulator.simulator.follow_mode()
        assert (await client.inventory()).find(200) is not None
        simulator.dc.mode = ApiMode.OK
        await simulator.simulator.follow_mode()
        assert (await client.inventory()).find(200) is not None


async def test_an_endpoint_of_another_cluster_is_neither_read_nor_sent_to(
    simulator: RunningSimulator, second: RunningSimulator
) -> None:
    simulator.guest(100, "ours")
    second.guest(100, "strangers")
    second.dc.cluster_name = "other"
    both = (simulator.simulator.api_url, second.simulator.api_url)
    async with simulator.client(endpoints=both) as client:
        assert (await client.look("pve1", 100)).name == "ours"
        simulator.dc.mode = ApiMode.UNREACHABLE
        await simulator.simulator.follow_mode()

        with pytest.raises(ProxmoxUnreachable, match=r"is of the cluster other, and .*simulated"):
            await client.look("pve1", 100)
        outcome = await client.post_power("pve1", 100, PowerStep.RESET)
        assert isinstance(outcome, Refused), outcome
        assert "a ProxmoxCluster may name endpoints of one cluster only" in outcome.text
        assert isinstance(await client.agent_ping("pve1", 100), AgentPing)
        assert second.dc.posts == []

        simulator.dc.mode = ApiMode.OK
        await simulator.simulator.follow_mode()
        assert isinstance(await client.post_power("pve1", 100, PowerStep.RESET), Accepted)


async def test_nodes_that_are_in_no_cluster_are_not_one(
    simulator: RunningSimulator, second: RunningSimulator
) -> None:
    for one in list(simulator.dc.nodes)[1:]:
        del simulator.dc.nodes[one]
    both = (simulator.simulator.api_url, second.simulator.api_url)
    async with simulator.client(endpoints=both) as client:
        await client.inventory()
        simulator.dc.mode = ApiMode.UNREACHABLE
        await simulator.simulator.follow_mode()
        with pytest.raises(ProxmoxUnreachable, match="of the node pve1, which is in no cluster"):
            await client.inventory()


async def test_who_may_not_say_of_which_cluster_he_is_is_used(
    simulator: RunningSimulator, second: RunningSimulator
) -> None:
    second.guest(100, "seen")
    second.dc.access.revoke(TOKEN_ID)
    second.dc.access.grant("/vms", TOKEN_ID, {"VM.Audit"})
    simulator.dc.mode = ApiMode.UNREACHABLE
    await simulator.simulator.follow_mode()
    asked = (simulator.simulator.api_url, second.simulator.api_url)
    async with simulator.client(endpoints=asked) as client:
        assert (await client.look("pve1", 100)).name == "seen"


async def test_when_no_endpoint_answers_each_is_named(
    simulator: RunningSimulator, second: RunningSimulator
) -> None:
    both = (simulator.simulator.api_url, second.simulator.api_url)
    for one in (simulator, second):
        one.dc.mode = ApiMode.UNREACHABLE
        await one.simulator.follow_mode()
    async with simulator.client(endpoints=both) as client:
        with pytest.raises(ProxmoxUnreachable) as raised:
            await client.inventory()
    assert all(url in str(raised.value) for url in both)


async def test_a_post_goes_on_only_while_there_was_no_connection(
    simulator: RunningSimulator, second: RunningSimulator
) -> None:
    second.guest()
    nobody = f"https://127.0.0.1:{free_port()}"
    async with simulator.client(endpoints=(nobody, second.simulator.api_url)) as client:
        assert isinstance(await client.post_power("pve1", 100, PowerStep.RESET), Accepted)


@pytest.mark.parametrize("fault", [PostFault.DROPPED, PostFault.TIMEOUT_NOT_EXECUTED])
async def test_a_post_whose_connection_was_made_goes_nowhere_else(
    simulator: RunningSimulator, second: RunningSimulator, fault: PostFault
) -> None:
    simulator.guest()
    second.guest()
    simulator.dc.next_posts.append(fault)
    both = (simulator.simulator.api_url, second.simulator.api_url)
    quick = timedelta(milliseconds=300)
    async with simulator.client(endpoints=both, post_timeout=quick) as client:
        outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, OutcomeUnknown)
    assert len(simulator.dc.posts) == 1
    assert second.dc.posts == []


async def test_a_certificate_of_another_authority_is_refused_before_anything_is_sent(
    simulator: RunningSimulator, tmp_path: Path
) -> None:
    simulator.guest()
    stranger = Authority.ensure(tmp_path)
    settings = client_settings((simulator.simulator.api_url,), stranger.pem)
    async with ProxmoxClient(settings) as client:
        with pytest.raises(ProxmoxUnreachable, match=r"(?i)certificate verify failed"):
            await client.inventory()
        outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, Refused)
    assert simulator.dc.posts == []


async def test_a_private_authority_is_not_trusted_without_being_named(
    simulator: RunningSimulator,
) -> None:
    async with simulator.client(ca_pem=None) as client:
        with pytest.raises(ProxmoxUnreachable, match=r"(?i)certificate verify failed"):
            await client.inventory()


async def test_a_certificate_for_another_name_is_refused(simulator: RunningSimulator) -> None:
    other_name = simulator.simulator.api_url.replace("127.0.0.1", "127.0.0.2")
    settings = simulator.settings(endpoints=(other_name,))
    async with running_on_all_addresses(simulator), ProxmoxClient(settings) as client:
        with pytest.raises(ProxmoxUnreachable, match=r"127\.0\.0\.2"):
            await client.inventory()


@asynccontextmanager
async def running_on_all_addresses(simulator: RunningSimulator) -> AsyncIterator[None]:
    """The same certificate and port at 127.0.0.2."""

    async def nothing(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        return

    files = server_certificate(simulator.authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    port = int(simulator.simulator.api_url.rpartition(":")[2])
    server = await asyncio.start_server(nothing, "127.0.0.2", port, ssl=context)
    try:
        yield
    finally:
        server.close()


def test_a_ca_bundle_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ProxmoxMisconfigured, match=r"pve-root-ca\.pem"):
        client_settings(("pve1",), "not a certificate")


async def test_a_closed_client_says_so_and_sends_nothing(simulator: RunningSimulator) -> None:
    simulator.guest()
    client = simulator.client()
    await client.close()
    with pytest.raises(ProxmoxUnreachable, match="this client is closed"):
        await client.inventory()
    assert isinstance(await client.post_power("pve1", 100, PowerStep.RESET), Refused)
    assert simulator.dc.posts == []


async def test_calls_under_way_are_finished_when_the_client_is_closed(
    simulator: RunningSimulator,
) -> None:
    simulator.guest()
    simulator.dc.timing.latency = timedelta(milliseconds=50)
    client = simulator.client()
    looks = [asyncio.ensure_future(client.agent_ping("pve1", 100)) for _ in range(20)]
    await asyncio.sleep(0)
    await client.close()
    assert {answer.value for answer in await asyncio.gather(*looks)} == {"answered"}


async def test_slow_pings_hold_up_no_power_action(
    simulator: RunningSimulator, authority: Authority
) -> None:
    release = asyncio.Event()
    upid = f"UPID:pve1:0000BEEF:0000BEEF:65000000:qmreset:100:{TOKEN_ID}:"

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("ping"):
            await release.wait()
        return web.json_response({"data": upid})

    async with web_server(authority, answer) as url, simulator.client(endpoints=(url,)) as client:
        pings = [asyncio.ensure_future(client.agent_ping("pve1", 100)) for _ in range(24)]
        outcome = await client.post_power("pve1", 100, PowerStep.RESET)
        assert not any(ping.done() for ping in pings)
        release.set()
        await asyncio.gather(*pings)
    assert isinstance(outcome, Accepted)


async def test_the_environments_proxy_and_bundle_are_ignored(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, nobody)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with simulator.client() as client:
        assert (await client.inventory()).nodes == {"pve1": True, "pve2": True}
    async with simulator.client(proxy_url=nobody) as client:
        with pytest.raises(ProxmoxUnreachable):
            await client.inventory()


async def test_a_server_that_speaks_no_tls_was_surely_not_asked(
    simulator: RunningSimulator,
) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    async with tcp_server(babble) as url, simulator.client(endpoints=(url,)) as client:
        outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, Refused), outcome
    assert outcome.surely_not_executed
    assert outcome.status is None


async def test_a_handshake_that_never_ends_was_surely_not_asked(
    simulator: RunningSimulator,
) -> None:
    async def silence(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        return

    quick = timedelta(milliseconds=200)
    async with (
        tcp_server(silence) as url,
        simulator.client(endpoints=(url,), connect_timeout=quick) as client,
    ):
        outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, Refused), outcome
    assert "handshake timed out" in outcome.text


async def test_a_redirection_is_followed_by_nobody(
    simulator: RunningSimulator, authority: Authority
) -> None:
    simulator.guest()
    target = simulator.simulator.api_url

    def redirect(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"{target}{request.path}"})

    async with (
        web_server(authority, redirect) as url,
        simulator.client(endpoints=(url,)) as client,
    ):
        outcome = await client.post_power("pve1", 100, PowerStep.RESET)
        with pytest.raises(ProxmoxGarbage, match="redirects"):
            await client.inventory()
    assert isinstance(outcome, OutcomeUnknown)
    assert simulator.dc.posts == []


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, "<html>hello</html>", OutcomeUnknown),
        (200, "", OutcomeUnknown),
        (200, "[]", OutcomeUnknown),
        (200, '{"result": 1}', OutcomeUnknown),
        (200, '{"data": null}', OutcomeUnknown),
        (200, '{"data": {"errors": "none"}}', OutcomeUnknown),
        (204, "", OutcomeUnknown),
        (304, "", OutcomeUnknown),
        (500, "<html>oops</html>", OutcomeUnknown),
        (500, "[]", OutcomeUnknown),
        (500, '{"data": null}', Refused),
        (502, "<html>bad gateway</html>", OutcomeUnknown),
        (503, '{"data": null}', OutcomeUnknown),
        (504, "", OutcomeUnknown),
        (596, "", OutcomeUnknown),
        (597, "", OutcomeUnknown),
        (599, "", OutcomeUnknown),
        (595, "", Refused),
        (401, "", Refused),
        (403, "<html>denied</html>", Refused),
    ],
)
async def test_only_proof_counts_as_refused_or_accepted(
    simulator: RunningSimulator,
    authority: Authority,
    status: int,
    body: str,
    expected: type[object],
) -> None:
    def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body.encode(), content_type="text/html")

    async with web_server(authority, answer) as url, simulator.client(endpoints=(url,)) as client:
        outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, expected), outcome


async def test_words_that_a_proxy_took_from_the_reason_are_read_from_the_body(
    simulator: RunningSimulator, authority: Authority
) -> None:
    def answer(_: web.Request) -> web.Response:
        return web.json_response({"data": None, "message": "VM 100 not running\n"}, status=500)

    async with web_server(authority, answer) as url, simulator.client(endpoints=(url,)) as client:
        outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert outcome == Refused("500 VM 100 not running", 500)


async def test_a_page_in_place_of_an_answer_is_garbage_naming_the_place(
    simulator: RunningSimulator, authority: Authority
) -> None:
    def answer(_: web.Request) -> web.Response:
        return web.Response(text="<html>welcome</html>", content_type="text/html")

    async with web_server(authority, answer) as url, simulator.client(endpoints=(url,)) as client:
        with pytest.raises(ProxmoxGarbage, match="text/html") as raised:
            await client.inventory()
    assert url in str(raised.value)


async def test_an_answer_without_end_fills_no_memory(
    simulator: RunningSimulator, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also packed: a few kilobytes may unpack to gigabytes."""
    monkeypatch.setattr("defib_operator.proxmox.proxmoxer_wire.MOST_BYTES", 1_000_000)
    packed = gzip.compress(b'{"data": "' + b" " * 50_000_000 + b'"}')

    def answer(_: web.Request) -> web.Response:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=packed, headers=headers)

    async with web_server(authority, answer) as url, simulator.client(endpoints=(url,)) as client:
        with pytest.raises(ProxmoxGarbage, match="answered more than 1000000 bytes"):
            await client.inventory()
        outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, OutcomeUnknown), "it may have been carried out"


async def test_a_connection_that_was_closed_meanwhile_costs_no_read(
    simulator: RunningSimulator, authority: Authority
) -> None:
    """Proxmox closes idle connections after five seconds, at times under our feet."""
    asked: list[str] = []

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        asked.append(request.split()[1].decode())
        body = b'{"data": {"version": "9.2"}}'
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        writer.write(head + body)
        await reader.read(1)  # the next request's first byte
        writer.transport.abort()

    files = server_certificate(authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    async with (
        tcp_server(answer_once, context) as url,
        simulator.client(endpoints=(url,)) as client,
    ):
        wire = client._wire
        for _ in range(8 * 2):  # each of its threads at least once again
            assert await wire.get(url, "version", {}) == {"version": "9.2"}
    assert len(asked) == 16


def test_the_import_leaves_urllib3s_warnings_alive() -> None:
    script = (
        "import warnings, defib_operator.proxmox; from urllib3.exceptions import *;"
        "warnings.warn('unverified', InsecureRequestWarning)"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert "InsecureRequestWarning: unverified" in ended.stderr
