"""What is known of a VM when it is judged. What could not be read is said so, never guessed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from defib_core.domain.actions import Action
from defib_core.domain.policy import DEFAULT_STEPS, Policy
from defib_core.domain.reasons import HoldReason
from defib_core.domain.states import State


class AgentAnswer(StrEnum):
    """What the QEMU guest agent said to a ping. Only ANSWERED is evidence."""

    ANSWERED = "answered"
    SILENT = "silent"
    NO_EVIDENCE = "no_evidence"
    """Not asked, not configured, or the token may not ask."""


class IoAnswer(StrEnum):
    """What the counters of disk and network said over the window."""

    ACTIVE = "active"
    QUIET = "quiet"
    STILL_LOOKING = "still_looking"
    NO_EVIDENCE = "no_evidence"


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """What Proxmox says of a VM, asked freshly. `None` where it did not say."""

    node: str
    node_online: bool | None = True
    is_qemu: bool = True
    template: bool = False
    name: str | None = None
    smbios_uuid: str | None = None
    running: bool = True
    qmpstatus: str | None = "running"
    lock: str | None = None
    ha_state: str | None = None
    """Only where HA manages it."""
    reset_switches_off: bool = False
    """`reboot: 0`, or vCPUs that cannot be reset (SEV, TDX)."""
    started_at: datetime | None = None
    """When its QEMU process began; a reset does not change it."""
    quorate: bool | None = True
    agent: AgentAnswer = AgentAnswer.NO_EVIDENCE
    io: IoAnswer = IoAnswer.NO_EVIDENCE
    asked: bool = True
    """False: only the cluster's list was read, which says that it is switched off."""


@dataclass(frozen=True, slots=True)
class LookFailure:
    """Proxmox could not be asked, or would not say; the reason is one of the fourth group."""

    reason: HoldReason
    message: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the VM is, as far as Defib knows."""

    vmid: int
    hostname: str
    proxmox_name: str | None = None
    pinned_uuid: str | None = None
    """The SMBIOS UUID that Proxmox had for it at first sight."""
    reported_uuid: str | None = None
    """What its agent last said; None where it never did."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One VM at one moment: what it said, and what Proxmox says of it."""

    vm_id: int
    identity: Identity
    state: State
    last_heartbeat: datetime | None
    clock_floor: datetime
    """Already the latest of all floors that are known without asking Proxmox."""
    stale_timeout: timedelta
    reports: int
    guest: GuestFacts | LookFailure | None = None
    """None: not asked yet."""

    def floored_silence(self, now: datetime) -> timedelta:
        """How long it has been silent, not counting time in which it could not be heard."""
        last = self.last_heartbeat
        heard = self.clock_floor if last is None else max(last, self.clock_floor)
        return now - heard


@dataclass(frozen=True, slots=True)
class History:
    """What was done to the VM since its counter was last cleared."""

    attempts: int = 0
    last_attempt_at: datetime | None = None
    unfinished: bool = False
    """An intent of it is not finished."""
    owes_start: bool = False
    """It was stopped by our own stop-and-start, whose start is still owed."""
    resumed_io_error: bool = False
    """It was resumed after an I/O error in this incident."""
    dry_run_done: bool = False
    """A dry run of this incident is recorded."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """How the VM may be treated: its own spec over its SystemConfig."""

    policy: Policy
    max_attempts: int
    enabled: bool = True
    steps: tuple[Action, ...] = DEFAULT_STEPS
    paused_reason: str | None = None
    paused_until: datetime | None = None

    def is_paused(self, now: datetime) -> bool:
        """True while a pause is in force."""
        if self.paused_reason is None:
            return False
        return self.paused_until is None or now < self.paused_until


@dataclass(frozen=True, slots=True)
class Brake:
    """Something bigger than one VM that holds it."""

    reason: HoldReason
    message: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is true around the VM: of us, its fleet and its node."""

    ingest_blind_since: datetime | None = None
    """Since when no heartbeat could be stored; None where it can."""
    relay_blind: str | None = None
    """Why the relay it last reported through is not heard; None where it is, or there is none."""
    control_plane_heard_at: datetime | None = None
    """When the Kubernetes API was last heard; None where it never was."""
    global_stop: str | None = None
    """Why everything is stopped; None where nothing is."""
    maintenance: str | None = None
    reports_rejected: str | None = None
    """Why its last report was refused within its timeout; None where none was."""
    brakes: Sequence[Brake] = field(default_factory=tuple)
    """Brakes in force on this VM, in the order of their reasons."""
