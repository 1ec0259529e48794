"""The key is in a file and on the wire, and nowhere else that anybody could look."""

import asyncio
import contextlib
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from agents.linux_agent import KEY, Agent
from agents.report_server import Answer, ReportServer
from support.waiting import eventually_async


def exposed_by(process: psutil.Process) -> str:
    """What other processes may see of one: its arguments and its environment."""
    seen = ""
    with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        for name in ("cmdline", "environ"):
            seen += Path(f"/proc/{process.pid}/{name}").read_bytes().decode(errors="replace")
    return seen


async def look_while_sending(agent: Agent, server: ReportServer, sender: str) -> tuple[str, str]:
    """Hold the server's answer back and look at the agent's whole family; its output as well."""
    server.gate.clear()
    server.answers.append(Answer(401, '{"success":false,"message":"the key is not valid"}'))
    async with agent.with_settings(DEFIB_URL=server.url).started("--once") as process:
        await eventually_async(asked(server), what="a report at the server")
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
        seen = "\n".join(exposed_by(one) for one in family)
        assert any(one.name() == sender for one in family), f"{sender} is not among {family}"
        server.gate.set()
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    return seen, (out + err).decode()


def asked(server: ReportServer) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return bool(server.received)

    return ask


async def test_with_curl_the_key_shows_in_no_process_and_no_output(
    agent: Agent, server: ReportServer
) -> None:
    seen, said = await look_while_sending(agent, server, "curl")
    assert server.received[0].headers["X-API-Key"] == KEY
    assert "/api/health/report" in seen
    assert KEY not in seen
    assert "cpuUsage" not in seen
    assert "the key is not valid" in said
    assert KEY not in said


async def test_with_wget_the_key_shows_in_no_process_and_no_output(
    wget_agent: Agent, server: ReportServer
) -> None:
    seen, said = await look_while_sending(wget_agent, server, "wget")
    assert server.received[0].headers["X-API-Key"] == KEY
    assert "/api/health/report" in seen
    assert KEY not in seen
    assert "the server refuses the key" in said
    assert KEY not in said


async def test_wgets_private_file_is_private_and_gone_afterwards(
    wget_agent: Agent, server: ReportServer
) -> None:
    server.gate.clear()
    before = set(wget_agent.folder.iterdir())
    async with wget_agent.with_settings(DEFIB_URL=server.url).started("--once") as process:
        await eventually_async(asked(server), what="a report at the server")
        [private] = set(wget_agent.folder.iterdir()) - before
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        server.gate.set()
        await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert set(wget_agent.folder.iterdir()) == before
