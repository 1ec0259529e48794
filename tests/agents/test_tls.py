"""TLS is verified: an authority that nobody trusts is refused, one that is configured is not."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.linux_agent import SHELLS, Agent, make_agent
from agents.report_server import ReportServer, report_server
from defib_dev.components.certificates import Authority

SENDERS = ("curl", "wget")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.ensure(tmp_path_factory.mktemp("ca"))


@pytest.fixture
async def tls_server(authority: Authority) -> AsyncIterator[ReportServer]:
    pair = authority.server("api")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    async with report_server(tls=context) as running:
        yield running


@pytest.fixture(params=[(shell, sender) for shell in SHELLS for sender in SENDERS], ids="-".join)
def tls_agent(request: pytest.FixtureRequest, tmp_path: Path, tls_server: ReportServer) -> Agent:
    shell, sender = request.param
    agent = make_agent(shell, tmp_path, sender=sender)
    # What a user's own files say must not weaken the agent.
    (tmp_path / ".curlrc").write_text("insecure\n")
    (tmp_path / ".wgetrc").write_text("check_certificate = off\n")
    return agent.with_settings(DEFIB_URL=tls_server.url, HOME=str(tmp_path))


async def test_a_configured_authority_is_trusted(
    tls_agent: Agent, tls_server: ReportServer, authority: Authority
) -> None:
    ca_file = str(authority.files.certificate)
    done = await tls_agent.with_settings(DEFIB_CA_FILE=ca_file).send()
    assert done.code == 0, done.err
    assert tls_server.statuses() == ["running"]


async def test_an_unknown_authority_is_refused_and_named(
    tls_agent: Agent, tls_server: ReportServer
) -> None:
    done = await tls_agent.send()
    assert done.code == 1
    assert "certificate" in done.err
    assert f"cannot reach {tls_server.url}" in done.err
    assert tls_server.received == []


async def test_another_authority_is_refused(
    tls_agent: Agent, tls_server: ReportServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Authority.ensure(tmp_path_factory.mktemp("other-ca"))
    ca_file = str(other.files.certificate)
    done = await tls_agent.with_settings(DEFIB_CA_FILE=ca_file).send()
    assert done.code == 1
    assert "certificate" in done.err
    assert tls_server.received == []


async def test_a_certificate_for_another_name_is_refused(
    tls_agent: Agent, tls_server: ReportServer, authority: Authority
) -> None:
    elsewhere = tls_agent.with_settings(
        DEFIB_URL=f"https://127.0.0.2:{tls_server.port}",
        DEFIB_CA_FILE=str(authority.files.certificate),
    )
    done = await elsewhere.send()
    assert done.code == 1
    assert tls_server.received == []
