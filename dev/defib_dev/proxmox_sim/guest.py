"""A VM as the cluster knows it: its configuration, its place, and the machine behind it. Pure."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from defib_dev.proxmox_sim.machine import Machine, Power, SimulatedMachine

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
HA_IGNORED = "ignored"


class RealMachineError(Exception):
    """A guest that stands on a real machine was told to do what only a simulated one does."""


class Kind(StrEnum):
    """VM or container."""

    QEMU = "qemu"
    LXC = "lxc"


@dataclass(slots=True)
class Guest:
    """One guest. `lock` is the configuration's lock; `flock_free_at` the lock file's."""

    vmid: int
    name: str
    node: str
    uuid: str
    machine: Machine
    kind: Kind = Kind.QEMU
    lock: str | None = None
    template: bool = False
    reboot: bool = True
    confidential: str | None = None
    """`amd-sev` or `intel-tdx`: processors that cannot be reset."""
    args: str | None = None
    ha: str | None = None
    """The HA manager's state of it; None: not managed."""
    agent: bool = True
    """The QEMU guest agent is switched on in the configuration."""
    flock_free_at: datetime = LONG_AGO
    _status: str = field(default="", init=False)
    _status_before: str = field(default="", init=False)
    _status_since: datetime = field(default=LONG_AGO, init=False)

    def __post_init__(self) -> None:
        self._status = self._status_before = self.status

    @property
    def status(self) -> str:
        """Whether the process exists: `running` or `stopped`."""
        return "stopped" if self.machine.power is Power.STOPPED else "running"

    @property
    def qmpstatus(self) -> str:
        """What `status/current` shows: the run state, or `status` where QEMU does not answer."""
        if self.machine.power is Power.STOPPED or not self.machine.qmp_answers:
            return self.status
        return self.machine.power.value

    @property
    def is_ha_managed(self) -> bool:
        """Whether stop and start are the HA manager's to do."""
        return self.ha is not None and self.ha != HA_IGNORED

    @property
    def simulated(self) -> SimulatedMachine:
        """The guest that can be told what to do. Raises RealMachineError for a real one."""
        if not isinstance(self.machine, SimulatedMachine):
            raise RealMachineError(
                f"guest {self.vmid} is a real machine; it cannot be told to misbehave"
            )
        return self.machine

    def note_status(self, now: datetime) -> None:
        """Remember when the status last changed: the cluster's list hears of it later."""
        if self.status != self._status:
            self._status_before, self._status, self._status_since = self._status, self.status, now

    def broadcast_status(self, now: datetime, lag: timedelta) -> str:
        """Give the status as the cluster's list has it."""
        return self._status if now - self._status_since >= lag else self._status_before

    def obey_config(self) -> None:
        """Pass on to the machine what the configuration says of resets."""
        ends = not self.reboot or self.confidential is not None
        self.simulated.no_reboot = ends or "-no-reboot" in (self.args or "")
