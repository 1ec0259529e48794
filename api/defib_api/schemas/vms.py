"""A VM, its history, and the fleet's counts, as the API shows them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from pydantic import Field

from defib_api.schemas.base import ApiModel, Moment, Number
from defib_core.domain.states import Health, State
from defib_core.store.reads import FleetCounts, VmView


class Vm(ApiModel):
    """A VM and what is known of it. Sizes in MB, CPU in percent, uptime in seconds.

    PostgreSQL writes it; see store/vm_rows.py.
    """

    id: str
    hostname: str
    vmid: str = Field(description="The VM's number in Proxmox, as text.")
    status: str | None = Field(description="The guest's own word; null before its first report.")
    health: Health = Field(description="`down` also where `state` is `reset_failed`.")
    state: State
    state_since: Moment
    cpu_usage: float | None
    ram_usage: int | None
    ram_total: int | None
    ram_percent: float | None
    disk_usage: int | None
    disk_total: int | None
    disk_percent: float | None
    worst_disk_mount: str | None = Field(
        description="The mount or drive that is fullest; null where that is the root, or unknown."
    )
    worst_disk_percent: float | None
    uptime: int | None
    last_heartbeat: Moment | None
    is_down: bool
    is_warning: bool
    cluster: str
    node: str | None
    namespace: str | None
    name: str | None = Field(description="The VirtualMachine object; null where there is none.")
    labels: dict[str, str]
    reset_attempts: int
    max_reset_attempts: int
    reset_pending: bool = Field(description="A reset was sent, and no heartbeat has come since.")
    last_reset: Moment | None
    hold_reason: str | None = Field(description="Why a VM that is down is not reset now.")
    hold_message: str | None
    hold_since: Moment | None
    paused: bool
    paused_reason: str | None
    paused_until: Moment | None
    removed_at: Moment | None = Field(
        description="Since its VirtualMachine was deleted, it is neither reset nor recreated."
    )
    clone_suspected: bool = Field(
        description="Two machines report as this VM: their boot ids alternate."
    )


# Written by `defib_core.store.metrics`; a test holds the two together.
class Metric(ApiModel):
    """One point of a VM's history: a report, or the mean of five minutes or an hour."""

    timestamp: Moment
    cpu_usage: float
    ram_usage: int
    ram_total: int
    disk_usage: int | None
    disk_total: int | None
    uptime: int | None


class Counts(ApiModel):
    """How many VMs there are by health; `down` includes `resetFailed`."""

    total: int
    healthy: int
    warning: int
    down: int
    unknown: int
    reset_failed: int

    @classmethod
    def from_states(cls, by: Mapping[State, int]) -> Self:
        """Show how many VMs there are in each state."""
        return cls(
            total=sum(by.values()),
            healthy=by[State.HEALTHY],
            warning=by[State.WARNING],
            down=by[State.DOWN] + by[State.RESET_FAILED],
            unknown=by[State.UNKNOWN],
            reset_failed=by[State.RESET_FAILED],
        )


class ConfigInForce(ApiModel):
    """What the SystemConfig `default` says."""

    stale_timeout_ms: int
    cpu_threshold: Number
    ram_threshold: Number
    auto_reset_enabled: bool


class Status(ApiModel):
    """The fleet at a glance."""

    timestamp: Moment
    vms: Counts
    config: ConfigInForce

    @classmethod
    def from_counts(cls, counts: FleetCounts, now: datetime) -> Self:
        """Show the counts, read at `now`."""
        return cls(
            timestamp=now,
            vms=Counts.from_states(counts.by_state),
            config=ConfigInForce.model_validate(counts.config),
        )


def is_paused(view: VmView, now: datetime) -> bool:
    """True while a pause is in force."""
    if view.paused_reason is None:
        return False
    return view.paused_until is None or view.paused_until > now
