"""A VM, its history, and the fleet's counts, as the API shows them."""

from datetime import datetime
from typing import Self

from pydantic import Field

from defib_api.schemas.base import ApiModel, Moment, Number
from defib_api.schemas.identifiers import vm_id_text
from defib_core.domain.states import Health, State, health_of
from defib_core.store.metrics import MetricPoint
from defib_core.store.reads import FleetCounts, VmView


class Vm(ApiModel):
    """A VM and what is known of it. Sizes in MB, CPU in percent, uptime in seconds."""

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

    @classmethod
    def from_view(cls, view: VmView, now: datetime) -> "Vm":
        """Show a VM; `now` says whether its pause is over."""
        health = health_of(view.state)
        return cls.model_construct(
            id=vm_id_text(view.id),
            hostname=view.hostname,
            vmid=str(view.vmid),
            status=view.status,
            health=health,
            state=view.state,
            state_since=view.state_since,
            cpu_usage=view.cpu,
            ram_usage=view.ram,
            ram_total=view.ram_total,
            ram_percent=percent(view.ram, view.ram_total),
            disk_usage=view.disk,
            disk_total=view.disk_total,
            disk_percent=percent(view.disk, view.disk_total),
            uptime=view.uptime,
            last_heartbeat=view.last_heartbeat,
            is_down=health is Health.DOWN,
            is_warning=health is Health.WARNING,
            cluster=view.cluster,
            node=view.node,
            namespace=view.namespace,
            name=view.name,
            labels=dict(view.labels),
            reset_attempts=view.reset_attempts,
            max_reset_attempts=view.max_attempts,
            reset_pending=view.reset_pending,
            last_reset=view.last_attempt_at,
            hold_reason=view.hold_reason,
            hold_message=view.hold_message,
            hold_since=view.hold_since,
            paused=is_paused(view, now),
            paused_reason=view.paused_reason,
            paused_until=view.paused_until,
            removed_at=view.tombstoned_at,
        )


class Metric(ApiModel):
    """One point of a VM's history: a report, or the mean of five minutes or an hour."""

    timestamp: Moment
    cpu_usage: float
    ram_usage: int
    ram_total: int
    disk_usage: int | None
    disk_total: int | None
    uptime: int | None

    @classmethod
    def from_point(cls, point: MetricPoint) -> "Metric":
        """Show a point."""
        return cls.model_construct(
            timestamp=point.at,
            cpu_usage=round(point.cpu, 2),
            ram_usage=point.ram,
            ram_total=point.ram_total,
            disk_usage=point.disk,
            disk_total=point.disk_total,
            uptime=point.uptime,
        )


class Counts(ApiModel):
    """How many VMs there are by health; `down` includes `resetFailed`."""

    total: int
    healthy: int
    warning: int
    down: int
    unknown: int
    reset_failed: int


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
        by = counts.by_state
        return cls(
            timestamp=now,
            vms=Counts(
                total=sum(by.values()),
                healthy=by[State.HEALTHY],
                warning=by[State.WARNING],
                down=by[State.DOWN] + by[State.RESET_FAILED],
                unknown=by[State.UNKNOWN],
                reset_failed=by[State.RESET_FAILED],
            ),
            config=ConfigInForce.model_validate(counts.config),
        )


def percent(used: int | None, total: int | None) -> float | None:
    """Say a share in percent, to one place; None where it is not known."""
    return round(100.0 * used / total, 1) if used is not None and total else None


def is_paused(view: VmView, now: datetime) -> bool:
    """True while a pause is in force."""
    if view.paused_reason is None:
        return False
    return view.paused_until is None or view.paused_until > now
