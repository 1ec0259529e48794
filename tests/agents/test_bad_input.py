"""What goes wrong around an agent: it survives, says so once, and goes on."""

import asyncio
import json
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from agents.linux_agent import Agent, make_agent, stop, told
from agents.report_server import Answer, ReportServer, report_server


async def test_a_name_that_dns_does_not_know(agent: Agent) -> None:
    settled = agent.with_settings(DEFIB_URL="https://defib.invalid")
    done = agent_says(settled, "report running; report running; report running")
    assert [line for line in done if "cannot reach https://defib.invalid" in line] == done[:1]
    assert len(done) == 1


def agent_says(agent: Agent, script: str) -> list[str]:
    done = agent.sourced(f"read_environment; choose_tool; check_server\n{script}")
    assert done.code == 0, done.err
    return told(done.err)


async def test_an_hour_of_500s_is_said_once_and_all_of_it_survived(agent: Agent) -> None:
    done = agent.sourced("""
        vmid=100 url=https://defib interval=30 n=0
        post() { code=500 retry_after=0 said='{"success": false, "message": "broken"}'; }
        while [ "$n" -lt 200 ]; do n=$((n + 1)); report running; [ "$wait_for" -le 31 ]; done
        echo "$kept_count $failures"
    """)
    assert done.code == 0, done.err
    assert done.out.split()[1] == "200"
    assert len([line for line in done.err.splitlines() if "500" in line]) == 1


@pytest.mark.parametrize("shift", [-86400, 86400])
def test_a_clock_that_is_set_by_a_day_moves_no_report_by_more_than_an_interval(
    agent: Agent, shift: int
) -> None:
    done = agent.sourced(f"""
        vmid=100 url=https://defib interval=30 phase=7 clock=1700000000
        read_clock() {{ now=$clock; }}
        post() {{ code=200 retry_after=0 said='{{"success": true}}'; }}
        report running; clock=$((clock + {shift})); report running; echo "$wait_for"
        clock=$((clock + 30)); report running; echo "$wait_for"
    """)
    assert done.code == 0, done.err
    assert all(1 <= int(wait) <= 33 for wait in done.out.split())


async def test_nothing_can_be_written_with_curl(agent: Agent, server: ReportServer) -> None:
    nowhere = agent.with_settings(
        DEFIB_URL=server.url, TMPDIR="/nowhere", DEFIB_STATE_DIR="/nowhere", DEFIB_INTERVAL="1"
    )
    async with nowhere.started() as process:
        await server.until(2)
        said = await stop(process)
    assert len(said) == 1
    assert "reports to" in said[0]


async def test_wget_finds_another_place_where_the_disk_is_full(
    wget_agent: Agent, server: ReportServer
) -> None:
    nowhere = wget_agent.with_settings(DEFIB_URL=server.url, TMPDIR="/dev/full/no")
    done = await nowhere.send()
    assert (done.code, told(done.err)) == (0, [])


async def test_two_agents_on_one_vm_both_go_on_and_the_second_says_so(
    agent: Agent, server: ReportServer
) -> None:
    running = agent.with_settings(DEFIB_URL=server.url, DEFIB_INTERVAL="1")
    async with running.started() as first:
        await server.until(1)
        async with running.started() as second:
            await server.until(len(server.reports) + 3)
            said = await stop(second)
        assert "another agent runs here already" in said[0]
        assert len(said) == 2
        assert len(await stop(first)) == 1


async def test_under_cron_a_second_agent_ends(agent: Agent, server: ReportServer) -> None:
    running = agent.with_settings(DEFIB_URL=server.url, DEFIB_INTERVAL="1")
    async with running.started("--cron") as first:
        await server.until(1)
        done = await running.run("--cron")
        assert (done.code, done.err) == (0, "")
        await stop(first)


async def test_a_revoked_key_is_said_once_and_a_new_one_ends_it(
    agent: Agent, server: ReportServer
) -> None:
    refused = Answer(401, '{"success": false, "message": "the key was revoked"}')
    server.answers.extend([refused] * 3)
    said = agent_says_async(agent.with_settings(DEFIB_URL=server.url))
    lines = await said
    assert len(lines) == 2
    assert "refuses the key" in lines[0]
    assert "accepted again" in lines[1]


def says(agent: Agent, script: str) -> list[str]:
    return told(agent.sourced(script).err)


async def agent_says_async(agent: Agent) -> list[str]:
    script = "read_environment; choose_tool; check_server\n" + "report running\n" * 4
    return await asyncio.to_thread(says, agent, script)


@pytest.mark.parametrize("sender", ["curl", "wget"])
async def test_a_proxy_in_the_way_that_answers_itself(sender: str, tmp_path: Path) -> None:
    agent = make_agent("dash", tmp_path, sender=sender)
    async with report_server() as proxy:
        proxy.answers.extend([Answer(200, "<html>sign in</html>")] * 2)
        # The name is given to the proxy, which answers for everybody.
        settled = agent.with_settings(DEFIB_URL="http://defib.invalid", http_proxy=proxy.url)
        lines = await agent_says_twice(settled)
    assert [line for line in lines if "is not Defib's" in line] == lines[-1:]


@pytest.mark.parametrize("sender", ["curl", "wget"])
async def test_a_proxy_that_lets_nobody_through(sender: str, tmp_path: Path) -> None:
    agent = make_agent("dash", tmp_path, sender=sender)
    async with speaking(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as url:
        settled = agent.with_settings(DEFIB_URL="https://defib.example.com", https_proxy=url)
        [line] = await agent_says_twice(settled)
    assert "cannot reach https://defib.example.com: " in line
    assert "407" in line or "Proxy Authentication Required" in line


@asynccontextmanager
async def speaking(
    answer: bytes, more: bytes = b"", pause: float | None = None
) -> AsyncIterator[str]:
    """A server that says this to everybody, and where there is a pause goes on with `more`."""

    speaking_now: list[asyncio.Task[None] | None] = []

    async def speak(reader: StreamReader, writer: StreamWriter) -> None:
        speaking_now.append(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            while pause is not None:
                writer.write(more)
                await writer.drain()
                await asyncio.sleep(pause)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*filter(None, speaking_now)), 60)


async def test_an_answer_without_end_is_left_after_some_seconds(tmp_path: Path) -> None:
    """Drop by drop or in a flood; all at once, since each takes its 10 or 15 s."""

    async def says_to(sender: str, more: bytes, pause: float) -> list[str]:
        folder = tmp_path / f"{sender}-{pause}"
        folder.mkdir()
        agent = make_agent("dash", folder, sender=sender)
        async with speaking(b"HTTP/1.1 200 OK\r\n\r\n", more, pause) as url:
            once = "read_environment; choose_tool; check_server\nreport running"
            return await asyncio.to_thread(says, agent.with_settings(DEFIB_URL=url), once)

    answers = [(b"x", 0.2), (b"y" * 65536, 0.0)]
    senders = ("curl", "wget")
    said = await asyncio.gather(*(says_to(one, *answer) for one in senders for answer in answers))
    for [line] in said:
        assert "the answer (200) is not Defib's" in line
        assert len(line) < 600


async def test_a_long_page_costs_a_line(agent: Agent, server: ReportServer) -> None:
    server.answers.extend([Answer(404, "<p>\n" * 20_000)] * 2)
    lines = await agent_says_twice(agent.with_settings(DEFIB_URL=server.url))
    assert len(lines) == 1
    assert "the server refuses the report (404)" in lines[0]


async def agent_says_twice(agent: Agent) -> list[str]:
    script = "read_environment; choose_tool; check_server\nreport running\nreport running\n"
    return await asyncio.to_thread(says, agent, script)


def test_a_server_that_is_not_there_is_said_once_and_tried_for_ever(agent: Agent) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        away = agent.with_settings(DEFIB_URL=f"http://127.0.0.1:{taken.getsockname()[1]}")
        lines = agent_says(away, "report running; report running; report running")
    assert len(lines) == 1
    assert "cannot reach http://127.0.0.1:" in lines[0]


def test_a_proc_that_shows_nothing_costs_the_figures_and_not_the_agent(agent: Agent) -> None:
    done = agent.sourced("""
        vmid=100 url=https://defib interval=30 proc=/nowhere
        post() { code=400 retry_after=0 said='{"message": "cpuUsage is missing"}'; }
        for _ in 1 2 3; do report running; done
        printf '%s %s' "$wait_for" "$payload"
    """)
    assert done.code == 0, done.err
    wait, payload = done.out.split(" ", 1)
    assert 1 <= int(wait) <= 33
    report = json.loads(payload)
    assert report["vmid"] == "100"
    assert not {"cpuUsage", "ramUsage", "uptime", "bootId"} & report.keys()
    said = done.err.splitlines()
    assert len([line for line in said if "cpuUsage is left out" in line]) == 1
    assert len([line for line in said if "the server refuses the report" in line]) == 1
