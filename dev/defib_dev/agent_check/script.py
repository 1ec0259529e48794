"""Runs functions of the Linux agent in a shell, on a clock of ours: no time passes.

For what only a thousand agents show: how they spread over an interval, and how they come back.
"""

import os
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from defib_api import agent_files
from defib_dev.components.errors import ComponentError

SECONDS = 300


class NoShell(ComponentError):
    """The shell asked for is not on this machine."""


def agent_path() -> Path:
    """Where the Linux agent is."""
    return agent_files.folder() / agent_files.LINUX_AGENT


def shell_argv(shell: str) -> tuple[str, ...]:
    """How a script is run by this shell; raises NoShell."""
    found = shutil.which(shell)
    if found is None:
        raise NoShell(f"there is no {shell} on this machine; install it, or name another shell")
    return (found, "sh") if shell == "busybox" else (found,)


def sourced(script: str, shell: str = "sh") -> str:
    """Run a script that has the agent's functions and default settings; return what it says."""
    done = subprocess.run(
        [*shell_argv(shell), "-c", f". {agent_path()}\ndefault_settings\nsmbios=''\n{script}"],
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "DEFIB_AGENT_SOURCED": "1"},
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    if done.returncode:
        raise ComponentError(f"the agent's functions failed: {done.stderr.decode()[-400:]}")
    return done.stdout.decode()


@dataclass(frozen=True, slots=True)
class Spread:
    """When agents report, in whole seconds from a common moment."""

    seconds: Counter[int]

    @property
    def agents(self) -> int:
        """How many there are."""
        return self.seconds.total()

    @property
    def last(self) -> int:
        """When the last one reports."""
        return max(self.seconds)

    @property
    def mean(self) -> float:
        """How many report in a second on average."""
        return self.agents / max(1, self.last)

    @property
    def busiest(self) -> int:
        """How many report in the fullest second."""
        return max(self.seconds.values())


START = """
smbios='' reported_name=web interval={interval} now=1700000000
for vmid in {fleet}; do choose_phase; next_slot; echo "$wait_for"; done
"""
OUTAGE = """
interval={interval} n=0
while [ "$n" -lt {agents} ]; do
    n=$((n + 1)) clock=0 failures=0
    while [ "$clock" -lt {outage} ]; do
        failures=$((failures + 1)); back_off; clock=$((clock + wait_for))
    done
    echo $((clock - {outage}))
done
"""


def started_together(agents: int, interval: int = 30, shell: str = "sh") -> Spread:
    """When the first reports come of VMs that boot in the same second."""
    fleet = " ".join(str(100 + number) for number in range(agents))
    return _spread(sourced(START.format(interval=interval, fleet=fleet), shell))


def after_outage(agents: int, outage: int = 600, interval: int = 30, shell: str = "sh") -> Spread:
    """When agents first reach a server that was away for `outage` seconds."""
    script = OUTAGE.format(interval=interval, agents=agents, outage=outage)
    return _spread(sourced(script, shell))


def _spread(said: str) -> Spread:
    return Spread(Counter(int(line) for line in said.split()))
