"""GNU wget serves where there is no curl."""

from agents.linux_agent import Agent
from agents.report_server import Answer, ReportServer


async def test_wget_reports_as_curl_does(wget_agent: Agent, server: ReportServer) -> None:
    settled = wget_agent.with_settings(DEFIB_URL=server.url, DEFIB_HOSTNAME='odd "name\\')
    done = await settled.run("--once")
    assert (done.code, done.out, done.err) == (0, "", "")
    [received] = server.received
    assert received.report["hostname"] == 'odd "name\\'
    assert received.headers["Content-Type"] == "application/json"


async def test_wget_tells_what_the_server_said(wget_agent: Agent, server: ReportServer) -> None:
    server.answers.append(Answer(503, '{"message":"busy"}', {"Retry-After": "5"}))
    done = await wget_agent.with_settings(DEFIB_URL=server.url).send()
    assert done.code == 1
    assert "cannot take reports now (503)" in done.err
    assert "busy" in done.err


async def test_wget_follows_no_redirect(wget_agent: Agent, server: ReportServer) -> None:
    elsewhere = {"Location": f"{server.url}/api/health/report"}
    server.answers.append(Answer(307, "moved", elsewhere))
    done = await wget_agent.with_settings(DEFIB_URL=server.url).send()
    assert done.code == 1
    assert "the answer (307) is not Defib's" in done.err
    assert len(server.received) == 1


async def test_wget_tells_why_it_cannot_connect(wget_agent: Agent) -> None:
    done = await wget_agent.with_settings(DEFIB_URL="http://127.0.0.1:9").send()
    assert done.code == 1
    assert "cannot reach http://127.0.0.1:9: failed: Connection refused" in done.err
