"""A scenario as values: who is there, what happens, and what is expected of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from defib_core.config.system_config import SystemConfigSpec
from defib_core.domain.actions import Action
from defib_core.domain.reasons import HoldReason
from defib_core.domain.states import State
from defib_dev.proxmox_sim.faults import ApiMode, PostFault
from defib_dev.simulate.moments import Window

ALL = "all"
"""In place of a VM's name: every VM; where a hold is expected, any VM."""
DEFAULT_BOOT = 60.0


@dataclass(frozen=True, slots=True)
class Vm:
    """A VM of the fleet. `boots` None: it never comes up again after a reset or start."""

    name: str
    vmid: int
    node: str
    boots: float | None = DEFAULT_BOOT
    dies_after: float | None = None
    """After each reset or start it reports this long, then falls silent again."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Guests hang."""

    vms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentDies:
    """Only our agent stops in these guests."""

    vms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """They report again."""

    vms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a VM reports from now on, in percent. None: unchanged."""

    vm: str
    cpu: float | None
    ram: float | None


@dataclass(frozen=True, slots=True)
class Reject:
    """Their reports are refused from now on, or no longer."""

    vms: tuple[str, ...]
    refused: bool


@dataclass(frozen=True, slots=True)
class GlobalStop:
    """A person stops everything, or lets go."""

    stopped: bool


@dataclass(frozen=True, slots=True)
class Outage:
    """A part of ours, or one we stand on, goes away or comes back: ingest, database, kubernetes."""

    part: str
    up: bool


@dataclass(frozen=True, slots=True)
class KillOperator:
    """The leading process dies, now or (`step`) at this step of the next reset."""

    step: str | None = None


@dataclass(frozen=True, slots=True)
class StartOperator:
    """A new process, empty memory."""


@dataclass(frozen=True, slots=True)
class Operators:
    """That many replicas run from now on."""

    count: int


@dataclass(frozen=True, slots=True)
class NodeState:
    """A Proxmox node goes away or comes back."""

    node: str
    online: bool


@dataclass(frozen=True, slots=True)
class ProxmoxApi:
    """How the whole API behaves from now on."""

    mode: ApiMode


@dataclass(frozen=True, slots=True)
class NextPost:
    """What becomes of the next POST; None: it works."""

    fault: PostFault | None


@dataclass(frozen=True, slots=True)
class ProxmoxChange:
    """Somebody changes a VM in Proxmox; in the words of `proxmox_sim.changes`."""

    vm: str
    changes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A change of SystemConfig arrives: these fields, over those in force."""

    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """A person pauses a VM. `lasts` None: until it is ended by hand."""

    vm: str
    reason: str
    lasts: float | None


@dataclass(frozen=True, slots=True)
class Unpause:
    """A person ends a pause."""

    vm: str


@dataclass(frozen=True, slots=True)
class ManualReset:
    """A person asks for a reset."""

    vm: str
    reason: str
    force: bool


@dataclass(frozen=True, slots=True)
class Clear:
    """A person clears a VM's attempts."""

    vm: str


@dataclass(frozen=True, slots=True)
class ClockJump:
    """The database's clock jumps, by seconds; backwards where negative."""

    by: float


Happening = (
    Silence
    | AgentDies
    | Resume
    | Metrics
    | Reject
    | GlobalStop
    | Outage
    | KillOperator
    | StartOperator
    | Operators
    | NodeState
    | ProxmoxApi
    | NextPost
    | ProxmoxChange
    | ConfigChange
    | Pause
    | Unpause
    | ManualReset
    | Clear
    | ClockJump
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something happens at a moment. `line` is where the file says so."""

    at: float
    line: int
    happening: Happening


@dataclass(frozen=True, slots=True)
class ExpectedReset:
    """A reset whose first POST lies in the window. `outcome` and `recovered` None: whatever."""

    vm: str
    at: Window
    action: Action = Action.RESET
    outcome: str | None = None
    recovered: bool | None = None


@dataclass(frozen=True, slots=True)
class ExpectedHealth:
    """The state of a VM at a moment."""

    vm: str
    at: float
    state: State


@dataclass(frozen=True, slots=True)
class ExpectedAttempts:
    """The counter of a VM at a moment."""

    vm: str
    at: float
    count: int


@dataclass(frozen=True, slots=True)
class ExpectedHold:
    """At least one hold with this reason; `at` None: at any time."""

    vm: str
    reason: HoldReason
    at: Window | None = None


@dataclass(frozen=True, slots=True)
class ExpectedManual:
    """What a person was told who asked at this moment."""

    vm: str
    at: float
    accepted: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Expectations:
    """All that must hold. None and empty: nothing is asked."""

    resets: tuple[ExpectedReset, ...] | None = None
    max_resets: int | None = None
    max_in_flight: int | None = None
    health: tuple[ExpectedHealth, ...] = ()
    attempts: tuple[ExpectedAttempts, ...] = ()
    holds: tuple[ExpectedHold, ...] = ()
    no_holds: tuple[HoldReason, ...] = ()
    manual: tuple[ExpectedManual, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One file. Events are in the order of time; those of one moment in the file's."""

    name: str
    about: str
    config: SystemConfigSpec
    fleet: tuple[Vm, ...]
    nodes: tuple[str, ...]
    events: tuple[Event, ...]
    until: float
    expect: Expectations = field(default_factory=Expectations)

    def vms(self, names: Sequence[str]) -> list[Vm]:
        """Find VMs by name, or all."""
        if ALL in names:
            return list(self.fleet)
        return [self.vm(name) for name in names]

    def vm(self, name: str) -> Vm:
        """Find a VM, which the parser made sure exists."""
        return next(vm for vm in self.fleet if vm.name == name)
