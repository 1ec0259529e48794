"""CPU seconds of each process while something is measured, and of everybody else.

A process's children count as its own, also those that have ended: PostgreSQL has one a connection.
Only our own do not, as all servers are our children.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

NOBODYS = ("idle", "iowait", "irq", "softirq", "guest", "guest_nice", "steal")
"""What is no program's doing, as the traffic on loopback; guests are in `user` already."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds: by process, of all other processes of the machine, and taken by its host."""

    by_process: Mapping[str, float]
    others: float
    stolen: float


class Meter:
    """Measures from its making on."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._began = self._read()

    def used(self) -> Usage:
        """What was used since."""
        now = self._read()
        since = {name: now[name] - before for name, before in self._began.items()}
        busy, stolen = since.pop(""), since.pop("stolen")
        return Usage(since, max(busy - sum(since.values()), 0.0), stolen)

    def _read(self) -> dict[str, float]:
        times = psutil.cpu_times()._asdict()
        return {
            **{name: _seconds(process) for name, process in self._processes.items()},
            "": sum(seconds for kind, seconds in times.items() if kind not in NOBODYS),
            "stolen": times.get("steal", 0.0),
        }


def _seconds(process: psutil.Process) -> float:
    if process.pid == os.getpid():
        own = process.cpu_times()
        return float(own.user + own.system)
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue  # It ended this moment, and is in its parent's account from now on.
        total += times.user + times.system + times.children_user + times.children_system
    return total
