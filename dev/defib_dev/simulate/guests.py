"""The fleet in a simulated Proxmox, and what its agents report when. No database, no decisions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from defib_core.store.heartbeats import Heartbeat
from defib_dev.proxmox_sim.changes import change_guest
from defib_dev.proxmox_sim.guest import Guest
from defib_dev.proxmox_sim.model import Datacenter, NewGuest
from defib_dev.proxmox_sim.simulator import full_rights
from defib_dev.simulate.scenario import Scenario, Vm
from defib_dev.simulate.virtual_time import Timeline

TOKEN_ID = "defib@pve!operator"  # noqa: S105 - a name
TOKEN_SECRET = "simulated"  # noqa: S105 - opens nothing
REPORT_EVERY = 30.0
MOST_PHASES = 60
"""Reports of large fleets are bundled: the phases of 60 VMs are half a second apart."""
RAM_TOTAL = 10_000
PER_CENT = 100


@dataclass(slots=True)
class Figures:
    """What an agent reports, in percent."""

    cpu: float = 10.0
    ram: float = 30.0


@dataclass(slots=True)
class Guests:
    """The guests of a scenario."""

    dc: Datacenter
    timeline: Timeline
    fleet: Sequence[Vm]
    figures: dict[str, Figures] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    """Whose reports the API refuses."""

    @classmethod
    def of(cls, scenario: Scenario, timeline: Timeline) -> "Guests":
        """Build the cluster: every guest has been up for long."""
        dc = Datacenter(scenario.nodes)
        full_rights(dc, TOKEN_ID, TOKEN_SECRET)
        for vm in scenario.fleet:
            boots, dies = _length(vm.boots), _length(vm.dies_after)
            new = NewGuest(vmid=vm.vmid, name=vm.name, node=vm.node, boots=boots, dies_after=dies)
            dc.add_guest(new, timeline.now)
        figures = {vm.name: Figures() for vm in scenario.fleet}
        return cls(dc, timeline, scenario.fleet, figures)

    def change(self, vms: Iterable[Vm], changes: dict[str, object]) -> None:
        """Change guests from outside, in the words of `proxmox_sim.changes`; raises ModelError."""
        for vm in vms:
            change_guest(self.dc, vm.vmid, changes, self.timeline.now)

    def phases(self) -> list[tuple[float, list[Vm]]]:
        """Say who reports at which second of the 30: spread evenly by the place in the fleet."""
        count = min(len(self.fleet), MOST_PHASES)
        by_phase: dict[int, list[Vm]] = {}
        for place, vm in enumerate(self.fleet):
            by_phase.setdefault(place * count // len(self.fleet), []).append(vm)
        return [(REPORT_EVERY * phase / count, vms) for phase, vms in sorted(by_phase.items())]

    def reporting(self, vms: Iterable[Vm]) -> list[Vm]:
        """Pick those whose agent sends heartbeats now."""
        now = self.timeline.now
        self.dc.advance(now)
        found = ((vm, self.dc.guests.get(vm.vmid)) for vm in vms)
        return [vm for vm, guest in found if guest is not None and self.dc.reports(guest, now)]

    def heartbeat(self, vm: Vm, vm_id: int) -> Heartbeat:
        """Say what an agent reports now."""
        figures, machine = self.figures[vm.name], self.dc.guest(vm.vmid).simulated
        now = self.timeline.now
        up = timedelta(0) if machine.booted_at is None else now - machine.booted_at
        return Heartbeat(
            vm_id=vm_id,
            status="running",
            cpu=figures.cpu,
            ram=round(figures.ram * RAM_TOTAL / PER_CENT),
            ram_total=RAM_TOTAL,
            disk=None,
            disk_total=None,
            uptime=int(up.total_seconds()),
            boot_id=machine.boot_id,
            agent_time=now,
        )

    def guest(self, vm: Vm) -> Guest | None:
        """Find a VM's guest; None where it was destroyed."""
        return self.dc.guests.get(vm.vmid)


def _length(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
