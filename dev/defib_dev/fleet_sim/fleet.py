"""Who reports what, and when: the fleet as a function of the guests and the time. Pure, no I/O.

Time is Unix seconds and always an argument. Nothing here knows of resets: a guest that is reset
falls silent and comes back with a new boot id because the simulator says so.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import floor
from random import Random

import msgspec

from defib_dev.fleet_sim.figures import character, figures
from defib_dev.fleet_sim.guests import SimulatedGuest

GOLDEN = 0.6180339887498949
"""Its multiples, modulo one, spread any run of vmids evenly."""
AGENT_VERSION = "fleet-sim-0.1.0"


class Report(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """The seed's report, and what Defib's agents add to it."""

    hostname: str
    vmid: str
    node: str
    status: str
    cpu_usage: float
    ram_usage: int
    ram_total: int
    disk_usage: int
    disk_total: int
    uptime: int
    timestamp: int
    boot_id: str
    smbios_uuid: str
    agent_version: str


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often each guest reports, and how it varies. Seconds."""

    interval: float
    jitter: float = 0.0
    seed: int = 1

    def slot_after(self, vmid: int, now: float) -> float:
        """Give the guest's next moment after now; jitter comes on top and never reorders slots."""
        phase = (vmid * GOLDEN % 1) * self.interval
        number = floor((now - phase) / self.interval) + 1
        slot = phase + number * self.interval
        if not self.jitter:
            return slot
        draw = Random(f"{self.seed}/{vmid}/{number}")  # noqa: S311 - jitter, not a secret
        return slot + draw.random() * min(self.jitter, self.interval / 2)


@dataclass(frozen=True, slots=True)
class Change:
    """Names of those who began to report and of those who fell silent."""

    began: list[str]
    silent: list[str]


@dataclass(slots=True)
class _Reporter:
    """A guest with the name and node its agent was configured with: a migration changes neither."""

    guest: SimulatedGuest
    name: str
    node: str


@dataclass(slots=True)
class Fleet:
    """The guests that report, and their next moments."""

    rhythm: Rhythm
    scripted_cpu: Mapping[int, float] = field(default_factory=dict)
    """Percent by vmid; beside what the inventory says."""
    _reporters: dict[int, _Reporter] = field(default_factory=dict)
    _configured: dict[tuple[int, str], tuple[str, str]] = field(default_factory=dict)
    _moments: list[tuple[float, int]] = field(default_factory=list)
    _scheduled: dict[int, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._reporters)

    def learn(self, guests: Iterable[SimulatedGuest], now: float) -> Change:
        """Take over who reports now."""
        known = {one.vmid: self._reporter(one) for one in guests}
        began = [one for vmid, one in known.items() if vmid not in self._reporters]
        silent = [one for vmid, one in self._reporters.items() if vmid not in known]
        self._reporters = known
        for one in silent:
            self._scheduled.pop(one.guest.vmid, None)
        for one in began:
            self._schedule(one.guest.vmid, now)
        return Change([one.name for one in began], [one.name for one in silent])

    def due(self, now: float) -> list[int]:
        """Take those whose moment has come; each gets its next one."""
        found = []
        while self._moments and self._moments[0][0] <= now:
            moment, vmid = heapq.heappop(self._moments)
            if self._scheduled.get(vmid) == moment:
                found.append(vmid)
                self._schedule(vmid, now)
        return found

    def next_moment(self) -> float | None:
        """Say when somebody is due next; may be too early, never too late."""
        return self._moments[0][0] if self._moments else None

    def report(self, vmid: int, now: float) -> Report | None:
        """Make a guest's report; None when it has fallen silent."""
        one = self._reporters.get(vmid)
        if one is None:
            return None
        guest = one.guest
        assert guest.boot_id is not None
        assert guest.booted_at is not None
        scripted = guest.cpu if guest.cpu is not None else self.scripted_cpu.get(vmid)
        measured = figures(character(self.rhythm.seed, vmid), now, scripted)
        return Report(
            hostname=one.name,
            vmid=str(vmid),
            node=one.node,
            status="running",
            cpu_usage=measured.cpu,
            ram_usage=measured.ram,
            ram_total=measured.ram_total,
            disk_usage=measured.disk,
            disk_total=measured.disk_total,
            uptime=max(0, int(now - guest.booted_at.timestamp())),
            timestamp=int(now),
            boot_id=guest.boot_id,
            smbios_uuid=guest.uuid,
            agent_version=AGENT_VERSION,
        )

    def _reporter(self, guest: SimulatedGuest) -> _Reporter:
        key = guest.vmid, guest.uuid
        name, node = self._configured.setdefault(key, (guest.name, guest.node))
        return _Reporter(guest, name, node)

    def _schedule(self, vmid: int, now: float) -> None:
        moment = self.rhythm.slot_after(vmid, now)
        self._scheduled[vmid] = moment
        heapq.heappush(self._moments, (moment, vmid))
