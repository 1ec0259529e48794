"""What one report of the Linux agent costs: CPU of the agent and all its children, and memory.

The agent runs as it does in a VM against a small server on loopback. CPU is counted by the kernel
(a process's own and that of its reaped children), so nothing is missed and nothing of ours is
counted; for that its reports follow each other at once. Memory is looked at while it reports once a
second. Figures count only on a machine where nothing else runs.
"""

import asyncio
import os
import signal
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import psutil
from aiohttp import web

from defib_dev.agent_check.record import BATCH, REPORT
from defib_dev.agent_check.script import agent_path, shell_argv
from defib_dev.components.certificates import Authority

LOOK_SECONDS = 0.002
WARM_UP = 2
LOOKED_AT = 3
"""Reports during which memory is looked at, a second apart."""
DEADLINE_SECONDS = 60.0
"""Longest wait for one report."""
MIB = 1024 * 1024
# Everything is the agent's own, only the pause between two reports is short.
IN_A_ROW = "next_slot() { wait_for=0.05; }; main"
SECONDS_A_REPORT, SECONDS_A_RUN = 0.12, 7.0
"""What a report and the rest of a run take, about."""


class Over(StrEnum):
    """How the report goes to the server."""

    HTTP = "http"
    HTTPS = "https"


@dataclass(frozen=True, slots=True)
class Cost:
    """What it came to. CPU in milliseconds a report; memory in MiB."""

    shell: str
    over: Over
    reports: int
    cpu: float
    resting: "Memory"
    """Between reports: the shell and its sleep."""
    peak: "Memory"
    """At the most, with everything it started (seen every few ms)."""

    def share(self, interval: float) -> float:
        """Percent of one core at one report in so many seconds."""
        return self.cpu / 10 / interval


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of some processes, in MiB."""

    resident: float = 0.0
    divided: float = 0.0
    """The same with each shared page divided among those that share it."""

    def most(self, other: "Memory") -> "Memory":
        """The larger of both, figure by figure."""
        return Memory(max(self.resident, other.resident), max(self.divided, other.divided))


@dataclass(slots=True)
class _Counting:
    reports: int = 0
    port: int = 0
    came: asyncio.Event = field(default_factory=asyncio.Event)
    told: Callable[[int], None] = field(default=lambda _: None)

    async def handle(self, request: web.Request) -> web.Response:
        await request.read()
        self.reports += 1
        self.told(self.reports)
        self.came.set()
        return web.json_response({"success": True, "message": "taken"})


def seconds_for(runs: int, reports: int) -> int:
    """How long so many runs take, about."""
    return round(runs * (SECONDS_A_RUN + SECONDS_A_REPORT * reports))


async def measure(
    shell: str,
    reports: int,
    over: Over = Over.HTTP,
    *,
    told: Callable[[int], None] = lambda _: None,
) -> Cost:
    """Let an agent send so many reports and measure it; `told` hears of each. Raises NoShell."""
    with tempfile.TemporaryDirectory(prefix="defib-agent-cost-") as name:
        folder = Path(name)
        async with _serving(folder, over) as counting:
            settings = _settings(folder, counting.port, over)
            in_a_row = (*shell_argv(shell), "-c", f". {agent_path()}; {IN_A_ROW}")
            sourced = {**settings, "DEFIB_AGENT_SOURCED": "1"}
            async with _agent(in_a_row, sourced) as agent:
                cpu = await _spend(agent, counting, reports, told)
            async with _agent((*shell_argv(shell), str(agent_path())), settings) as agent:
                resting, peak = await _look(agent, counting)
    return Cost(Path(shell).name, over, reports, cpu, resting, peak)


@asynccontextmanager
async def _serving(folder: Path, over: Over) -> AsyncIterator[_Counting]:
    counting = _Counting()
    app = web.Application()
    app.router.add_post(REPORT, counting.handle)
    app.router.add_post(BATCH, counting.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        tls = _tls(folder) if over is Over.HTTPS else None
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        counting.port = runner.addresses[0][1]
        yield counting
    finally:
        await runner.cleanup()


def _tls(folder: Path) -> ssl.SSLContext:
    pair = Authority.ensure(folder).server("api")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def _settings(folder: Path, port: int, over: Over) -> Mapping[str, str]:
    key = folder / "key"
    key.write_text("a-key-of-no-worth\n")
    key.chmod(0o600)
    ca_file = str(Authority.ensure(folder).files.certificate) if over is Over.HTTPS else ""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "DEFIB_URL": f"{over}://127.0.0.1:{port}",
        "DEFIB_KEY_FILE": str(key),
        "DEFIB_CA_FILE": ca_file,
        "DEFIB_VMID": "100",
        "DEFIB_INTERVAL": "1",
        "DEFIB_STATE_DIR": str(folder),
        "TMPDIR": str(folder),
    }


@asynccontextmanager
async def _agent(argv: tuple[str, ...], settings: Mapping[str, str]) -> AsyncIterator[psutil.Popen]:
    """Start it, and end it in an orderly way."""
    quiet = subprocess.DEVNULL
    agent = psutil.Popen(argv, env=dict(settings), stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        yield agent
    finally:
        agent.send_signal(signal.SIGTERM)
        await asyncio.to_thread(agent.wait, 30)


async def _spend(
    agent: psutil.Process, counting: _Counting, reports: int, told: Callable[[int], None]
) -> float:
    """CPU of a report, in milliseconds, over so many."""
    await _until(counting, counting.reports + WARM_UP)
    before, began = _cpu(agent), counting.reports
    counting.told = lambda seen: told(seen - began)
    await _until(counting, began + reports)
    counting.told = lambda _: None
    after, ended = _cpu(agent), counting.reports
    return 1000 * (after - before) / (ended - began)


async def _look(agent: psutil.Process, counting: _Counting) -> tuple[Memory, Memory]:
    """Memory between reports, and the most of it."""
    await _until(counting, counting.reports + 1)
    peak = Memory()
    last = counting.reports + LOOKED_AT
    async with asyncio.timeout(LOOKED_AT * DEADLINE_SECONDS):
        while counting.reports < last:
            peak = peak.most(_memory(agent))
            await asyncio.sleep(LOOK_SECONDS)
    await asyncio.sleep(0.3)  # the last report's programs have ended
    resting = _memory(agent)
    return resting, peak.most(resting)


async def _until(counting: _Counting, wanted: int) -> None:
    """Wait for so many reports; each in its time."""
    while counting.reports < wanted:
        counting.came.clear()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await counting.came.wait()


def _cpu(agent: psutil.Process) -> float:
    """Seconds of the agent and of its children that have ended."""
    times = agent.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _memory(agent: psutil.Process) -> Memory:
    """Memory of the agent and all below it."""
    resident = divided = 0
    with suppress(psutil.NoSuchProcess):
        for one in [agent, *agent.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                found = one.memory_full_info()
                resident, divided = resident + found.rss, divided + found.pss
    return Memory(resident / MIB, divided / MIB)
