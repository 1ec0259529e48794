"""Runs the real Linux agent under a real shell, whole or sourced, with nothing around it faked.

Only a sourced agent's clock, pauses and answers are replaced, by the test that needs it.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[2] / "agents" / "linux" / "linux-agent.sh"
KEY = "k3y-that.must_not~show=/+"
SHELLS = ("dash", "bash", "busybox")
TOOLS = ("cat", "date", "df", "ls", "rm", "sleep", "timeout", "tr", "uname")
"""All that the agent may find on its PATH, beside curl, or wget and mktemp."""


@dataclass(frozen=True, slots=True)
class Finished:
    """An agent that ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent with its settings: one shell, one folder of tools, one configuration."""

    shell: tuple[str, ...]
    tools: Path
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def key_file(self) -> Path:
        """Where the key is."""
        return self.folder / "agent.key"

    def with_settings(self, **more: str) -> "Agent":
        """The same agent with more environment variables."""
        return Agent(self.shell, self.tools, self.folder, {**self.settings, **more})

    def environment(self) -> dict[str, str]:
        """Nothing of the test run's own environment: no proxy, no CA bundle, no HOME."""
        return {
            "PATH": str(self.tools),
            "TMPDIR": str(self.folder),
            "DEFIB_STATE_DIR": str(self.folder),
            **self.settings,
        }

    async def run(self, *arguments: str) -> Finished:
        """Run it to its end."""
        async with self.started(*arguments) as process:
            return await _finish(process)

    async def send(self) -> Finished:
        """Send one report as `--once` does, without the second in which it measures CPU."""
        script = 'read_environment; choose_tool; check_server; report running; test -z "$trouble"'
        async with self._started(*self._sourcing(script), DEFIB_AGENT_SOURCED="1") as process:
            return await _finish(process)

    def started(self, *arguments: str) -> AbstractAsyncContextManager[Process]:
        """Start it; whatever is left at the end is killed."""
        return self._started(str(AGENT), *arguments)

    @asynccontextmanager
    async def _started(self, *arguments: str, **more: str) -> AsyncIterator[Process]:
        process = await asyncio.create_subprocess_exec(
            *self.shell,
            *arguments,
            env={**self.environment(), **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                os.killpg(process.pid, 9)
                await process.communicate()

    def _sourcing(self, script: str) -> tuple[str, str]:
        return "-c", f". {AGENT}\ndefault_settings\nsmbios=''\n{script}"

    def sourced(self, script: str) -> Finished:
        """Run a script that has the agent's functions; its default settings are made.

        The time it may take is for a busy machine, and for scripts that wait for the test.
        """
        done = subprocess.run(
            [*self.shell, *self._sourcing(script)],
            env={**self.environment(), "DEFIB_AGENT_SOURCED": "1"},
            capture_output=True,
            check=False,
            timeout=300,
        )
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


async def _finish(process: Process) -> Finished:
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


async def stop(process: Process) -> list[str]:
    """End an agent in an orderly way; what it said."""
    process.send_signal(signal.SIGTERM)
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    return err.decode().splitlines()


def told(err: str) -> list[str]:
    """What was said; that a first sample was missing is of the test's own making."""
    return [line for line in err.splitlines() if "cpuUsage is left out" not in line]


def make_agent(shell: str, folder: Path, *, sender: str = "curl") -> Agent:
    """An agent with a key, a vmid, and a PATH of the few tools it may use.

    Under busybox these are busybox's own, as on Alpine.
    """
    program = obtain(shell)
    tools = folder / "tools"
    tools.mkdir()
    for tool in (*TOOLS, "mktemp") if sender == "wget" else TOOLS:
        target = program if shell == "busybox" else obtain(tool)
        (tools / tool).symlink_to(target)
    if sender:
        (tools / sender).symlink_to(obtain(sender))
    argv = (program, "sh") if shell == "busybox" else (program,)
    agent = Agent(argv, tools, folder)
    agent.key_file.write_text(f"{KEY}\n")
    agent.key_file.chmod(0o600)
    return agent.with_settings(DEFIB_KEY_FILE=str(agent.key_file), DEFIB_VMID="100")


def obtain(program: str) -> str:
    """Where the program is; installed where this run may do so, else the test fails saying how."""
    found = shutil.which(program)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", program]
        subprocess.run(command, check=False, capture_output=True, timeout=120)
        found = shutil.which(program)
    if found is None:
        pytest.fail(
            f"the agent is tested with {program}, which is not on this machine; get it with:"
            f" sudo apt-get install -y {program}"
        )
    return found
