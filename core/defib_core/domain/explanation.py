"""What goes into an explanation of one VM, and what comes out: values only. explain.py makes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from defib_core.domain.decide import Case
from defib_core.domain.reasons import HoldReason
from defib_core.domain.states import State


class CheckResult(StrEnum):
    """What came of a check."""

    PASSED = "passed"
    HOLDS = "holds"
    NOT_ASKED = "not_asked"


class VerdictKind(StrEnum):
    """What the verdict comes to."""

    ALIVE = "alive"
    NEVER_REPORTED = "never_reported"
    NOT_MANAGED = "not_managed"
    """No accepted VirtualMachine stands for it: it is watched, and never reset."""
    WAITING = "waiting"
    """It is down, and its clock was started again: it has time left."""
    HELD = "held"
    UNDER_WAY = "under_way"
    RECORDED = "recorded"
    """A dry run: what would have been done is in its history."""
    DUE = "due"
    """Nothing that the database knows holds it; the next sweep asks Proxmox."""


@dataclass(frozen=True, slots=True)
class Floor:
    """A moment before which its silence does not count, and why."""

    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class OpenHold:
    """The operator's last word on a VM that is down."""

    reason: HoldReason
    message: str
    since: datetime


@dataclass(frozen=True, slots=True)
class InForce:
    """Something that stands in the way of resets: a stop, a pause, a window, a brake."""

    reason: str
    message: str
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Resets under way and sent lately, beside their limits."""

    in_flight: int = 0
    in_flight_most: int = 2
    on_node: int = 0
    on_node_most: int = 2
    last_hour: int = 0
    last_hour_most: int = 30

    def message(self, reason: HoldReason) -> str:
        """Say how much of a limit is used."""
        if reason is HoldReason.HOURLY_LIMIT:
            return f"{self.last_hour} of {self.last_hour_most} resets of its fleet in the last hour"
        fleet = f"{self.in_flight} of {self.in_flight_most} resets under way in its fleet"
        return f"{fleet}, {self.on_node} of {self.on_node_most} on its node"

    def is_full(self, reason: HoldReason) -> bool:
        """Say whether a limit is reached."""
        if reason is HoldReason.HOURLY_LIMIT:
            return self.last_hour >= self.last_hour_most
        return self.in_flight >= self.in_flight_most or self.on_node >= self.on_node_most


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that was decided or happened; `detail` is what it rested on, for programs."""

    at: datetime
    kind: str
    """transition, hold or reset."""
    message: str
    until: datetime | None = None
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database knows of one VM and around it. `case` as the sweep would judge it."""

    now: datetime
    name: str
    case: Case
    state_since: datetime
    floors: Sequence[Floor] = ()
    not_managed: str | None = None
    """Why it is never reset at all; None where a VirtualMachine stands for it."""
    hold: OpenHold | None = None
    under_way: str | None = None
    """The reset that is not finished, in words."""
    reset_pending: bool = False
    traffic: Traffic = Traffic()
    in_force: Sequence[InForce] = ()
    swept_at: datetime | None = None
    agent_suspected: bool = False
    """It has shown signs of life for an hour, and does not report."""
    decisions: Sequence[Decision] = ()
    clone_since: datetime | None = None
    """Since when two machines seem to report as this VM."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Its clocks. Silence counts from `counts_from`, which is the reason's moment."""

    last_heartbeat: datetime | None
    counts_from: datetime
    counts_from_why: str
    floored_silence: timedelta
    stale_timeout: timedelta
    runs_out_at: datetime
    floors: Sequence[Floor]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is the case now, in one sentence."""

    kind: VerdictKind
    message: str
    reason: HoldReason | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the rules, in their order."""

    group: int
    reason: HoldReason
    status: CheckResult
    message: str


@dataclass(frozen=True, slots=True)
class Attempts:
    """What is left of its attempts, and when the next one may be."""

    used: int
    allowed: int
    left: int
    last_at: datetime | None
    next_not_before: datetime | None
    pending: bool
    """A reset was sent, and no heartbeat has come since."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer."""

    name: str
    now: datetime
    state: State
    state_since: datetime
    warnings: Sequence[str]
    clocks: Clocks
    verdict: Verdict
    needed: Sequence[str]
    checks: Sequence[Check]
    attempts: Attempts
    in_force: Sequence[InForce]
    decisions: Sequence[Decision]
