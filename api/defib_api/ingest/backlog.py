"""Reports that wait for the next batch: bounded, fair, at most one of a VM in each batch.

A second report of a VM waits for the batch after, so each becomes a point of its history and none
is answered that was not stored.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from defib_core.store.heartbeats import Heartbeat

LIMIT = 10_000
"""Reports waiting in one process; some three seconds of work."""
LIMIT_PER_VM = 4


class Outcome(Enum):
    """What became of a report."""

    STORED = "stored"
    MISSING = "missing"
    """There is no such VM any more; register it anew."""
    REFUSED = "refused"
    """PostgreSQL refuses these values."""
    AWAY = "away"
    """It was not stored, because the database is gone, or may not have been."""


class BacklogFull(Exception):
    """The process has more reports waiting than it will hold."""


class TooManyOfOneVM(Exception):
    """One VM sends faster than its reports can be stored one after the other."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A report, and where its sender waits for the outcome."""

    heartbeat: Heartbeat
    outcome: asyncio.Future[Outcome]

    def settle(self, outcome: Outcome) -> None:
        """Tell the sender, if it still waits."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Backlog:
    """First come, first served, by VM: a flood from one delays that one only."""

    def __init__(self, limit: int = LIMIT, limit_per_vm: int = LIMIT_PER_VM) -> None:
        self._limit = limit
        self._limit_per_vm = limit_per_vm
        self._by_vm: dict[int, deque[Waiting]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, waiting: Waiting) -> None:
        """Queue a report; raise BacklogFull or TooManyOfOneVM."""
        if self._size >= self._limit:
            raise BacklogFull
        mine = self._by_vm.setdefault(waiting.heartbeat.vm_id, deque())
        if len(mine) >= self._limit_per_vm:
            raise TooManyOfOneVM
        mine.append(waiting)
        self._size += 1

    def take(self, most: int) -> list[Waiting]:
        """Take the oldest report of each of the VMs that have waited longest."""
        batch = []
        for vm_id in list(islice(self._by_vm, most)):
            mine = self._by_vm.pop(vm_id)
            batch.append(mine.popleft())
            if mine:
                self._by_vm[vm_id] = mine
        self._size -= len(batch)
        return batch

    def drain(self) -> list[Waiting]:
        """Take everything."""
        everything = [one for mine in self._by_vm.values() for one in mine]
        self._by_vm.clear()
        self._size = 0
        return everything
