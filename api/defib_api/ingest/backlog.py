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
    TOO_MANY = "too_many"
    """Of a batch: its VM has several reports waiting already. It was not even queued."""
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

    @property
    def settled(self) -> bool:
        """True where nobody waits for the outcome any more."""
        return self.outcome.done()

    def settle(self, outcome: Outcome) -> None:
        """Tell the sender, if it still waits."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Together:
    """Reports of one request, whose sender waits for all of them."""

    __slots__ = ("done", "left", "outcomes")

    def __init__(self, reports: int, done: asyncio.Future[None]) -> None:
        self.outcomes: list[Outcome | None] = [None] * reports
        self.left = reports
        self.done = done

    def settle(self, index: int, outcome: Outcome) -> None:
        """Note one outcome; with the last the sender is told."""
        if self.outcomes[index] is not None:
            return
        self.outcomes[index] = outcome
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)


class Part:
    """One of reports that came together."""

    __slots__ = ("_index", "_together", "heartbeat")

    def __init__(self, heartbeat: Heartbeat, together: Together, index: int) -> None:
        self.heartbeat = heartbeat
        self._together = together
        self._index = index

    @property
    def settled(self) -> bool:
        """True where the outcome is known."""
        return self._together.outcomes[self._index] is not None

    def settle(self, outcome: Outcome) -> None:
        """Note the outcome."""
        self._together.settle(self._index, outcome)


Queued = Waiting | Part


class Backlog:
    """First come, first served, by VM: a flood from one delays that one only."""

    def __init__(self, limit: int = LIMIT, limit_per_vm: int = LIMIT_PER_VM) -> None:
        self._limit = limit
        self._limit_per_vm = limit_per_vm
        self._by_vm: dict[int, deque[Queued]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def has_room(self, reports: int) -> bool:
        """True where so many more may wait."""
        return self._size + reports <= self._limit

    def add(self, waiting: Queued) -> None:
        """Queue a report; raise BacklogFull or TooManyOfOneVM."""
        if self._size >= self._limit:
            raise BacklogFull
        vm_id = waiting.heartbeat.vm_id
        mine = self._by_vm.get(vm_id)
        if mine is None:
            self._by_vm[vm_id] = deque((waiting,))
        elif len(mine) >= self._limit_per_vm:
            raise TooManyOfOneVM
        else:
            mine.append(waiting)
        self._size += 1

    def take(self, most: int) -> list[Queued]:
        """Take the oldest report of each of the VMs that have waited longest."""
        batch = []
        for vm_id in list(islice(self._by_vm, most)):
            mine = self._by_vm.pop(vm_id)
            batch.append(mine.popleft())
            if mine:
                self._by_vm[vm_id] = mine
        self._size -= len(batch)
        return batch

    def drain(self) -> list[Queued]:
        """Take everything."""
        everything = [one for mine in self._by_vm.values() for one in mine]
        self._by_vm.clear()
        self._size = 0
        return everything
