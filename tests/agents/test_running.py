"""The agent as it runs for ever: real processes, a real server, real signals."""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable

import psutil

from agents.linux_agent import KEY, Agent
from agents.report_server import Answer, ReportServer, report_server
from defib_dev.components.ports import free_port
from support.waiting import eventually_async


def reports(server: ReportServer, status: str, count: int = 1) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return server.statuses().count(status) >= count

    return ask


async def ended(process: Process) -> tuple[int, list[str]]:
    """Exit code and what was said; the family must be gone with it."""
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None

    async def family_gone() -> bool:
        return not any(in_group(process.pid, one) for one in psutil.process_iter())

    await eventually_async(family_gone, what="the agent's children are gone as well")
    return process.returncode, err.decode().splitlines()


def in_group(group: int, one: psutil.Process) -> bool:
    """Whether a living process belongs to it; one that only waits to be reaped does not live."""
    try:
        return os.getpgid(one.pid) == group and one.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


async def test_it_reports_again_and_again_and_says_so_once(
    agent: Agent, server: ReportServer
) -> None:
    running = agent.with_settings(DEFIB_URL=server.url, DEFIB_INTERVAL="1")
    async with running.started() as process:
        await eventually_async(reports(server, "running", 3), what="three reports")
        process.send_signal(signal.SIGTERM)
        code, said = await ended(process)
    assert code == 0
    assert said == [f"defib-agent: version 0.1.0 reports to {server.url} every 1 s"]
    assert len({one.report["bootId"] for one in server.received}) == 1


async def test_on_an_orderly_end_it_says_that_it_is_stopping(
    agent: Agent, server: ReportServer
) -> None:
    running = agent.with_settings(DEFIB_URL=server.url, DEFIB_INTERVAL="60")
    async with running.started() as process:
        await eventually_async(sleeping(process), what="the agent waiting for its first second")
        process.send_signal(signal.SIGTERM)
        code, _ = await ended(process)
    assert code == 0
    assert server.statuses()[-1] == "stopping"
    assert server.received[-1].report["vmid"] == "100"


def sleeping(process: Process) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return any(is_sleep(one) for one in psutil.Process(process.pid).children())

    return ask


def is_sleep(one: psutil.Process) -> bool:
    try:
        return one.cmdline()[:1] == ["sleep"]
    except psutil.NoSuchProcess:
        return False


async def test_it_ends_in_an_orderly_way_though_nobody_listens(agent: Agent) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    async with agent.with_settings(DEFIB_URL=nobody, DEFIB_INTERVAL="60").started() as process:
        await eventually_async(sleeping(process), what="the agent waiting for its first second")
        process.send_signal(signal.SIGTERM)
        code, said = await ended(process)
    assert code == 0
    assert f"cannot reach {nobody}" in said[-1]


async def test_an_outage_is_said_once_and_its_end_as_well(agent: Agent) -> None:
    port = free_port()
    running = agent.with_settings(DEFIB_URL=f"http://127.0.0.1:{port}", DEFIB_INTERVAL="1")
    async with running.started() as process:
        assert process.stderr is not None
        hello = (await asyncio.wait_for(process.stderr.readline(), 20)).decode()
        complaint = (await asyncio.wait_for(process.stderr.readline(), 20)).decode()
        async with report_server(port=port) as server:
            await eventually_async(reports(server, "running", 2), what="reports after the outage")
            process.send_signal(signal.SIGTERM)
            code, said = await ended(process)
    assert "reports to" in hello
    assert f"cannot reach http://127.0.0.1:{port}" in complaint
    assert code == 0
    assert len(said) == 1
    assert "reports are accepted again" in said[0]


def test_after_a_refusal_a_new_key_is_taken_from_the_file(agent: Agent) -> None:
    done = agent.sourced(f"""
        url=https://defib key_file={agent.key_file} code=401 said=''
        check_server; echo "$key"
        echo new-key >{agent.key_file}
        settle; echo "$key"
    """)
    assert done.out == f"{KEY}\nnew-key\n"


async def test_a_refused_report_fails_a_single_run(agent: Agent, server: ReportServer) -> None:
    refusal = '{"success":false,"message":"the report was refused: vmid is missing"}'
    server.answers.append(Answer(400, refusal))
    done = await agent.with_settings(DEFIB_URL=server.url).run("--once")
    assert done.code == 1
    assert "refuses the report (400)" in done.err
    assert "vmid is missing" in done.err
