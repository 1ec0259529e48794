"""Heartbeats that wait to be stored together, as nobody looks between them.

Stored by production's statement, all at once, and then each given the moment it came at. Only
reports of VMs that report steadily, and always the same, can wait: such a report changes no state.
"""

import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

from defib_core.store import heartbeats
from defib_core.store.heartbeats import Heartbeat
from defib_dev.simulate.blocking import HotConnection
from defib_dev.simulate.guests import REPORT_EVERY

STEADY = 1.5 * REPORT_EVERY
CAME_AT = """
UPDATE vm_state s SET last_heartbeat = defib_now() - came.ago
FROM unnest(%s::bigint[], %s::interval[]) AS came(vm_id, ago)
WHERE s.vm_id = came.vm_id
"""
TOUCHED = re.compile(r"\b(vm_state|vm_metric\w*|vm_transition|hold|reset_history|\w+_change)\b")
"""What a heartbeat writes."""


@cache
def asks_of_heartbeats(statement: str) -> bool:
    """Say whether it makes a difference to a statement that a heartbeat still waits."""
    return TOUCHED.search(statement) is not None


@dataclass(frozen=True, slots=True)
class _Said:
    """When a VM last reported, and what of it could make a difference."""

    at: float
    what: tuple[object, ...]


@dataclass(slots=True)
class Waiting:
    """The heartbeats that were taken and are not stored yet, at most one a VM."""

    _beats: dict[int, tuple[Heartbeat, float]] = field(default_factory=dict)
    _last: dict[int, _Said] = field(default_factory=dict)

    def add(self, beat: Heartbeat, now: float) -> bool:
        """Take a heartbeat; return whether it can wait. Store the VM's earlier one before."""
        said = _Said(now, (beat.cpu, beat.ram, beat.boot_id))
        before = self._last.get(beat.vm_id)
        self._last[beat.vm_id] = said
        self._beats[beat.vm_id] = (beat, now)
        return before is not None and before.what == said.what and now - before.at <= STEADY

    def holds(self, vm_id: int) -> bool:
        """Whether a heartbeat of this VM waits."""
        return vm_id in self._beats

    def heard_since(self, moment: float) -> frozenset[int]:
        """Name the VMs that were heard at or after a moment."""
        return frozenset(vm_id for vm_id, said in self._last.items() if said.at >= moment)

    def passed(self, length: float) -> None:
        """Take note that time was skipped in which everybody went on reporting."""
        self._last = {
            vm_id: _Said(said.at + length, said.what) for vm_id, said in self._last.items()
        }

    def store(self, connection: HotConnection, now: float) -> None:
        """Store what waits."""
        if not self._beats:
            return
        waited = list(self._beats.values())
        self._beats.clear()
        _run(heartbeats.store(connection.as_async(), [beat for beat, _ in waited]))
        late = [(beat.vm_id, timedelta(seconds=now - at)) for beat, at in waited if at < now]
        if late:
            connection.run(CAME_AT, ([one for one, _ in late], [ago for _, ago in late]))


def _run(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run what has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("a blocking call wanted to wait")
