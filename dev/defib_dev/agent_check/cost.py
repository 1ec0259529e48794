"""What one report of the Linux agent costs: CPU of the agent and all its children, and memory.

The agent runs as it does in a VM, with reports a second apart, against a small server on loopback.
CPU is counted by the kernel (a process's own and that of its reaped children), so nothing is missed
and nothing of ours is counted. Figures count only on a machine where nothing else runs.
"""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from aiohttp import web

from defib_dev.agent_check.record import BATCH, REPORT
from defib_dev.agent_check.script import agent_path, shell_argv

LOOK_SECONDS = 0.002
WARM_UP = 2
DEADLINE_SECONDS = 30.0
"""Longest wait for one report."""
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What it came to. CPU in milliseconds a report; memory in MiB."""

    shell: str
    reports: int
    cpu: float
    resting: float
    """Resident between reports: the shell and its sleep."""
    resting_own: float
    """Of that, what no other process shares."""
    peak: float
    """Resident at the most, with everything it started (seen every few ms)."""

    def share(self, interval: float) -> float:
        """Percent of one core at one report in so many seconds."""
        return self.cpu / 10 / interval


@dataclass(slots=True)
class _Counting:
    reports: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        await request.read()
        self.reports += 1
        return web.json_response({"success": True, "message": "taken"})


async def measure(shell: str, reports: int) -> Cost:
    """Let an agent send so many reports and measure it; raises NoShell."""
    counting = _Counting()
    app = web.Application()
    app.router.add_post(REPORT, counting.handle)
    app.router.add_post(BATCH, counting.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with tempfile.TemporaryDirectory(prefix="defib-agent-cost-") as folder:
            settings = _settings(Path(folder), runner.addresses[0][1])
            agent = subprocess.Popen(  # noqa: ASYNC220 - it only starts here
                [*shell_argv(shell), str(agent_path())],
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **settings},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                return await _watch(psutil.Process(agent.pid), counting, shell, reports)
            finally:
                agent.send_signal(signal.SIGTERM)
                await asyncio.to_thread(agent.wait, 30)
    finally:
        await runner.cleanup()


def _settings(folder: Path, port: int) -> Mapping[str, str]:
    key = folder / "key"
    key.write_text("a-key-of-no-worth\n")
    key.chmod(0o600)
    return {
        "DEFIB_URL": f"http://127.0.0.1:{port}",
        "DEFIB_KEY_FILE": str(key),
        "DEFIB_VMID": "100",
        "DEFIB_INTERVAL": "1",
        "DEFIB_STATE_DIR": str(folder),
        "TMPDIR": str(folder),
    }


async def _watch(agent: psutil.Process, counting: _Counting, shell: str, reports: int) -> Cost:
    await _until(counting, WARM_UP)
    before, began, peak = _cpu(agent), counting.reports, 0
    while counting.reports - began < reports:
        peak = max(peak, await _until(counting, counting.reports + 1, agent))
    await asyncio.sleep(0.2)  # the last report's programs have ended
    spent = _cpu(agent) - before
    resting, own = _resident(agent), _own(agent)
    return Cost(
        shell=shell,
        reports=counting.reports - began,
        cpu=1000 * spent / (counting.reports - began),
        resting=resting / MIB,
        resting_own=own / MIB,
        peak=peak / MIB,
    )


async def _until(counting: _Counting, wanted: int, agent: psutil.Process | None = None) -> int:
    """Wait for so many reports; return the most memory seen meanwhile."""
    most = 0
    async with asyncio.timeout(DEADLINE_SECONDS):
        while counting.reports < wanted:
            if agent is not None:
                most = max(most, _resident(agent))
            await asyncio.sleep(LOOK_SECONDS)
    return most


def _cpu(agent: psutil.Process) -> float:
    """Seconds of the agent and of its children that have ended."""
    times = agent.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _resident(agent: psutil.Process) -> int:
    """Resident bytes of the agent and all below it."""
    found = 0
    for one in [agent, *agent.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            found += one.memory_info().rss
    return found


def _own(agent: psutil.Process) -> int:
    """Bytes that are theirs alone."""
    found = 0
    for one in [agent, *agent.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            found += one.memory_full_info().uss
    return found
