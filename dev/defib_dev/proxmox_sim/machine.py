"""What stands behind a VM: a QEMU process and the guest inside it.

`Machine` is the seam: the simulated guest here may be replaced by a real QEMU, whose reset is QMP's
`system_reset`. Pure: no I/O, no clock. Locks, nodes and rights are not a machine's business.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID, uuid5

BOOT_NAMESPACE = UUID("9d0a5a3f-6a56-4a6e-9b0c-6f1e3ad6c1f4")
NEVER: timedelta | None = None

# Bytes per second. A silent guest's kernel still answers ARP: far less than a sign of life.
ALIVE_DISK_READ, ALIVE_DISK_WRITE, ALIVE_NET_OUT = 8_192, 20_480, 6_144
ARP_NET_OUT, BROADCAST_NET_IN = 40, 4_096


class RunState(StrEnum):
    """QEMU's run states that matter here. In all but `running` no processor runs."""

    RUNNING = "running"
    PAUSED = "paused"
    PRELAUNCH = "prelaunch"
    IO_ERROR = "io-error"
    INTERNAL_ERROR = "internal-error"
    GUEST_PANICKED = "guest-panicked"


class Power(StrEnum):
    """What the control interface and the scenarios call power: stopped, or a run state."""

    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    PRELAUNCH = "prelaunch"
    IO_ERROR = "io-error"
    INTERNAL_ERROR = "internal-error"
    GUEST_PANICKED = "guest-panicked"


class MachineError(Exception):
    """QEMU refused, in the words that end up in the task after `VM <id> `."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Bytes since the process began, as `status/current` shows them."""

    disk_read: int = 0
    disk_write: int = 0
    net_in: int = 0
    net_out: int = 0


class Machine(Protocol):
    """A QEMU process with a guest. Every call says what time it is."""

    @property
    def power(self) -> Power:
        """Stopped, or the true run state."""
        ...

    @property
    def qmp_answers(self) -> bool:
        """False: QEMU's main loop hangs. Then nobody learns the run state."""
        ...

    @property
    def process_since(self) -> datetime | None:
        """When the QEMU process began; None: there is none."""
        ...

    @property
    def resets(self) -> int:
        """How many resets it has carried out."""
        ...

    def reset(self, now: datetime) -> None:
        """QMP system_reset. Raises MachineError."""
        ...

    def stop(self, now: datetime) -> None:
        """End the process, by force where it must be."""
        ...

    def start(self, now: datetime) -> None:
        """Start a process that is not there."""
        ...

    def resume(self, now: datetime) -> None:
        """QMP cont. Raises MachineError."""
        ...

    def counters(self, now: datetime) -> Counters:
        """I/O so far."""
        ...

    def guest_agent_answers(self, now: datetime) -> bool:
        """Whether the QEMU guest agent would answer a ping."""
        ...

    def reports(self, now: datetime) -> bool:
        """Whether Defib's agent in the guest sends heartbeats."""
        ...


@dataclass(slots=True)
class SimulatedMachine:
    """A guest that is nothing but times: when it boots, hangs and dies.

    A fresh one is stopped. `settle` accounts for I/O up to a moment; every change calls it first.
    """

    key: str
    """Makes its boot ids its own, and the same in every run."""
    boots: timedelta | None = timedelta(seconds=60)
    """How long a boot takes; None: it never comes up again."""
    dies_after: timedelta | None = None
    """How long after each boot it falls silent again; None: it stays."""
    no_reboot: bool = False
    """QEMU ends where it would reset: `reboot: 0`, SEV, TDX, `-no-reboot`."""
    storage_full: bool = False
    """A resume runs into the same I/O error again."""
    qmp_answers: bool = True
    frozen: bool = False
    agent_dead: bool = False
    has_agent: bool = True
    power: Power = Power.STOPPED
    process_since: datetime | None = None
    boot_id: str = ""
    booted_at: datetime | None = None
    """When the boot is over; may lie ahead. None: never."""
    resets: int = 0
    _boot_began: datetime | None = None
    _silent_from: datetime | None = None
    _boot_owed: bool = False
    _boot_count: int = 0
    _settled_at: datetime | None = None
    _io: Counters = Counters()

    def already_up(self, now: datetime) -> None:
        """Put it where a guest stands that has been up for long."""
        self._begin_process(now)
        self._name_boot()
        self._boot_began = self.booted_at = now
        self.power = Power.RUNNING

    def reset(self, now: datetime) -> None:
        """Reset devices; processors that stood still stand still after it."""
        if not self.qmp_answers:
            raise MachineError("qmp command 'system_reset' failed - got timeout")
        self.settle(now)
        self.resets += 1
        if self.no_reboot:
            self._end_process()
        elif self.power is Power.RUNNING:
            self._boot(now)
        else:
            self.power = Power.PRELAUNCH
            self._boot_owed = True

    def stop(self, now: datetime) -> None:
        """End the process; a hung one is killed."""
        self.settle(now)
        self._end_process()

    def start(self, now: datetime) -> None:
        """Start the process and boot."""
        self._begin_process(now)
        self.power = Power.RUNNING
        self._boot(now)

    def resume(self, now: datetime) -> None:
        """Let the processors run; a guest that was reset meanwhile boots."""
        if not self.qmp_answers:
            raise MachineError("qmp command 'cont' failed - got timeout")
        if self.power is Power.INTERNAL_ERROR:
            raise MachineError(
                "qmp command 'cont' failed - Resetting the Virtual Machine is required"
            )
        self.settle(now)
        self.power = Power.IO_ERROR if self.storage_full else Power.RUNNING
        if self._boot_owed and self.power is Power.RUNNING:
            self._boot(now)

    def set_power(self, power: Power, now: datetime) -> None:
        """Let it happen from outside: a person stops it, storage fails, QEMU gives up."""
        if power is self.power:
            return
        self.settle(now)
        if power is Power.STOPPED:
            self._end_process()
        elif power is Power.RUNNING:
            self._set_running(now)
        else:
            if self.process_since is None:
                self._begin_process(now)
                self._boot_owed = True
            self.power = power

    def set_frozen(self, *, frozen: bool, now: datetime) -> None:
        """Hang the guest's kernel, or let it go on. Thawing a guest that died wakes it."""
        self.settle(now)
        self.frozen = frozen
        if not frozen:
            self._silent_from = None
            if self.booted_at is None and self.power is Power.RUNNING:
                self.booted_at = self._boot_began = now

    def counters(self, now: datetime) -> Counters:
        """Say the I/O so far."""
        self.settle(now)
        return self._io

    def guest_agent_answers(self, now: datetime) -> bool:
        """Answer while the guest is up, whatever became of Defib's agent."""
        return self._is_up(now)

    def reports(self, now: datetime) -> bool:
        """Send heartbeats while the guest is up and Defib's agent runs in it."""
        return self.has_agent and not self.agent_dead and self._is_up(now)

    def settle(self, now: datetime) -> None:
        """Count the I/O since the last time."""
        since, self._settled_at = self._settled_at, now
        if since is None or self.process_since is None or now <= since:
            return
        total = (now - since).total_seconds()
        alive = self._alive_seconds(since, now)
        silent = total - alive if self.power is Power.RUNNING else 0.0
        self._io = Counters(
            disk_read=self._io.disk_read + round(alive * ALIVE_DISK_READ),
            disk_write=self._io.disk_write + round(alive * ALIVE_DISK_WRITE),
            net_in=self._io.net_in + round(total * BROADCAST_NET_IN),
            net_out=self._io.net_out + round(alive * ALIVE_NET_OUT + silent * ARP_NET_OUT),
        )

    def _is_up(self, now: datetime) -> bool:
        return (
            self.power is Power.RUNNING
            and not self.frozen
            and self.booted_at is not None
            and self.booted_at <= now
            and (self._silent_from is None or now < self._silent_from)
        )

    def _alive_seconds(self, since: datetime, until: datetime) -> float:
        """Say how long of this stretch the guest worked; booting is work, unless it never ends."""
        works = self.power is Power.RUNNING and not self.frozen and self.booted_at is not None
        if not works or self._boot_began is None:
            return 0.0
        begin = max(since, self._boot_began)
        end = until if self._silent_from is None else min(until, self._silent_from)
        return max(0.0, (end - begin).total_seconds())

    def _set_running(self, now: datetime) -> None:
        if self.process_since is None:
            self.start(now)
        else:
            self.power = Power.RUNNING
            if self._boot_owed:
                self._boot(now)

    def _begin_process(self, now: datetime) -> None:
        self.process_since = self._settled_at = now
        self._io = Counters()
        self.qmp_answers = True

    def _end_process(self) -> None:
        self.power = Power.STOPPED
        self.process_since = self.booted_at = self._boot_began = self._silent_from = None
        self._boot_owed = False
        self._io = Counters()

    def _boot(self, now: datetime) -> None:
        self._boot_owed = False
        self._name_boot()
        self._boot_began = now
        self.agent_dead = False
        self._silent_from = None
        if self.boots is None:
            self.frozen = True
            self.booted_at = None
            return
        self.frozen = False
        self.booted_at = now + self.boots
        if self.dies_after is not None:
            self._silent_from = self.booted_at + self.dies_after

    def _name_boot(self) -> None:
        self._boot_count += 1
        self.boot_id = str(uuid5(BOOT_NAMESPACE, f"{self.key}/{self._boot_count}"))
