"""The Linux agent's figures beside psutil's, of the same machine over the same seconds."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import psutil

from defib_dev.agent_check.script import agent_path, shell_argv
from defib_dev.components.errors import ComponentError

MIB = 1024 * 1024
# Takes the first sample, says so, and reports when it is told to.
SCRIPT = """
default_settings; smbios='' vmid=100
read_clock; read_ticks; keep_sample; echo ready
read -r _; build_payload running; printf '%s\\n' "$payload"
"""
BURN = "while :; do :; done"


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure as both have it, in its own unit."""

    name: str
    unit: str
    agent: float
    psutil: float

    @property
    def difference(self) -> float:
        """How far the agent is off."""
        return self.agent - self.psutil


def compare(seconds: float, *, load: int = 0, shell: str = "sh") -> list[Compared]:
    """Measure for so many seconds, with `load` shells spinning; raises NoShell."""
    with _burning(load, shell), _agent(shell) as (said, told):
        before = psutil.cpu_times()
        time.sleep(seconds)
        after = psutil.cpu_times()
        told.write("now\n")
        told.flush()
        report: Mapping[str, float] = json.loads(said.readline())
        memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
        uptime = time.time() - psutil.boot_time()
    cpu = _busy_percent(before, after)
    used = (memory.total - memory.available) / MIB
    return [
        Compared("CPU", "%", report["cpuUsage"], cpu),
        Compared("RAM used", "MB", report["ramUsage"], used),
        Compared("RAM", "MB", report["ramTotal"], memory.total / MIB),
        Compared("root disk used", "MB", report["diskUsage"], disk.used / MIB),
        Compared("root disk", "MB", report["diskTotal"], disk.total / MIB),
        Compared("uptime", "s", report["uptime"], uptime),
    ]


def _busy_percent(before: object, after: object) -> float:
    """The share of time that is neither idle nor waiting; guest time is in user time already."""
    counted = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    spent = {name: getattr(after, name) - getattr(before, name) for name in counted}
    everything = sum(spent.values())
    return 100 * (everything - spent["idle"] - spent["iowait"]) / everything if everything else 0.0


@contextmanager
def _agent(shell: str) -> Iterator[tuple[IO[str], IO[str]]]:
    process = subprocess.Popen(
        [*shell_argv(shell), "-c", f". {agent_path()}\n{SCRIPT}"],
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "DEFIB_AGENT_SOURCED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        if process.stdout.readline().strip() != "ready":
            raise ComponentError("the agent's functions did not start")
        yield process.stdout, process.stdin
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _burning(count: int, shell: str) -> Iterator[None]:
    """Shells that spin, for a machine with load; gone when the block ends."""
    burning = [subprocess.Popen([*shell_argv(shell), "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for one in burning:
            one.kill()
            one.wait()
