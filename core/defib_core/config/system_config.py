"""The spec of SystemConfig: how the VMs of one fleet are judged and treated.

Holds the ranges and the rules between fields; what they mean stands in the YAML. It does not
decide anything: `to_policy` hands the rules their values.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator
from pydantic_core import PydanticCustomError

from defib_core.config.base import SpecModel, refusal, refuse
from defib_core.domain.policy import LifeSignal, Policy, SafetyPolicy

KIND = "SystemConfig"

STALE_TOO_SHORT = (
    "staleTimeoutMs is shorter than two report intervals (2 x reportIntervalSeconds): one lost"
    " report would make a VM down. Raise staleTimeoutMs, or lower reportIntervalSeconds together"
    " with the agents' own interval, or set acknowledgeRisk: true"
)
FLEET_BRAKE_OFF = (
    "maxDownPercent 100 turns the fleet brake off: an outage of the network or of Defib itself"
    " could reset every VM. Choose less than 100, or set acknowledgeRisk: true"
)
NODE_BRAKE_OFF = (
    "maxNodeDownPercent 100 turns the node brake off: every VM on a failing node could be reset."
    " Choose less than 100, or set acknowledgeRisk: true"
)
LABEL_KEY_WANTED = (
    "failureDomainLabel must be a label key such as topology.example.com/rack: an optional DNS"
    " name and a slash, then at most 63 letters, digits, '-', '_' or '.'"
)
SIGNALS_TWICE = "each second life signal may be named once"
STOP_REASON_WANTED = "a global stop needs a reason that says who stopped everything and why"
WINDOW_REASON_WANTED = "a maintenance window needs a reason that says who works on what"
WINDOW_NAME_WANTED = (
    "a maintenance window's name must be lower-case letters, digits and '-', beginning and ending"
    " with a letter or digit"
)
WINDOW_ENDS_EARLY = "a maintenance window must end after it begins: until must be later than from"
WINDOWS_NAMED_ALIKE = "each maintenance window needs a name of its own"

LABEL_KEY = re.compile(
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)

WINDOW_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
SOMETHING = re.compile(r"\S")

DAY = 86_400
WEEK = 7 * DAY

Percent = Annotated[int, Field(ge=0, le=100)]
Threshold = Annotated[float, Field(ge=0, le=100)]
StaleTimeoutMs = Annotated[int, Field(ge=1000, le=DAY * 1000)]
Attempts = Annotated[int, Field(ge=0, le=100)]
LabelValue = Annotated[str, Field(max_length=63)]


def _is_label_key(value: str) -> str:
    if not LABEL_KEY.fullmatch(value):
        raise PydanticCustomError("rule", LABEL_KEY_WANTED)
    return value


def _no_signal_twice(value: tuple[LifeSignal, ...]) -> tuple[LifeSignal, ...]:
    if len(set(value)) < len(value):
        raise PydanticCustomError("rule", SIGNALS_TWICE)
    return value


LabelKey = Annotated[str, Field(max_length=317), AfterValidator(_is_label_key)]
# A tuple, not a set: a mirror of the spec must come out the same each time.
Signals = Annotated[
    tuple[LifeSignal, ...],
    Field(max_length=2, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_no_signal_twice),
]


class SafetySpec(SpecModel):
    """`spec.safety`: brakes, and second looks."""

    arm_after_reports: int = Field(default=3, ge=1, le=1000)
    max_down_percent: Percent = 20
    max_node_down_percent: Percent = 50
    min_down_allowed: int = Field(default=2, ge=0, le=1000)
    failure_domain_label: LabelKey | None = None
    max_concurrent_percent: Percent = 5
    max_concurrent_per_node: int = Field(default=2, ge=1, le=100)
    max_resets_per_hour: int = Field(default=30, ge=0, le=100_000)
    storm_cooldown_seconds: int = Field(default=300, ge=0, le=DAY)
    second_life_signals: Signals = (LifeSignal.GUEST_AGENT, LifeSignal.IO)
    identity_check: bool = True
    blind_after_seconds: int = Field(default=15, ge=2, le=3600)
    control_plane_stale_seconds: int = Field(default=120, ge=2, le=DAY)
    io_window_seconds: int = Field(default=30, ge=1, le=3600)

    def to_policy(self) -> SafetyPolicy:
        """Say the same in the values the rules work with."""
        return SafetyPolicy(
            arm_after_reports=self.arm_after_reports,
            max_down_percent=self.max_down_percent,
            max_node_down_percent=self.max_node_down_percent,
            min_down_allowed=self.min_down_allowed,
            failure_domain_label=self.failure_domain_label,
            max_concurrent_percent=self.max_concurrent_percent,
            max_concurrent_per_node=self.max_concurrent_per_node,
            max_resets_per_hour=self.max_resets_per_hour,
            storm_cooldown=timedelta(seconds=self.storm_cooldown_seconds),
            second_life_signals=frozenset(self.second_life_signals),
            identity_check=self.identity_check,
            blind_after=timedelta(seconds=self.blind_after_seconds),
            control_plane_stale=timedelta(seconds=self.control_plane_stale_seconds),
            io_window=timedelta(seconds=self.io_window_seconds),
        )


def _like(pattern: re.Pattern[str], wanted: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.search(value):
            raise PydanticCustomError("rule", wanted)
        return value

    return AfterValidator(check)


class GlobalStopSpec(SpecModel):
    """`spec.globalStop`: nothing at all is reset while it is there, in no fleet."""

    reason: Annotated[str, Field(max_length=1024), _like(SOMETHING, STOP_REASON_WANTED)]


class MaintenanceSpec(SpecModel):
    """One of `spec.maintenance`: VMs of this SystemConfig with these labels are not reset."""

    name: Annotated[str, Field(max_length=63), _like(WINDOW_NAME, WINDOW_NAME_WANTED)]
    match_labels: Annotated[dict[str, LabelValue], Field(max_length=16)]
    starts_at: AwareDatetime = Field(alias="from")
    ends_at: AwareDatetime = Field(alias="until")
    reason: Annotated[str, Field(max_length=1024), _like(SOMETHING, WINDOW_REASON_WANTED)]

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.ends_at <= self.starts_at:
            refuse(self, [refusal("until", message=WINDOW_ENDS_EARLY)])
        return self


def _no_name_twice(value: tuple[MaintenanceSpec, ...]) -> tuple[MaintenanceSpec, ...]:
    if len({one.name for one in value}) < len(value):
        raise PydanticCustomError("rule", WINDOWS_NAMED_ALIKE)
    return value


Windows = Annotated[
    tuple[MaintenanceSpec, ...], Field(max_length=32), AfterValidator(_no_name_twice)
]


class SystemConfigSpec(SpecModel):
    """`spec` of a SystemConfig. Without arguments: the defaults."""

    stale_timeout_ms: StaleTimeoutMs = 300_000
    cpu_threshold: Threshold = 80.0
    ram_threshold: Threshold = 90.0
    auto_reset_enabled: bool = True
    dry_run: bool = False
    stale_check_interval_seconds: int = Field(default=10, ge=1, le=3600)
    report_interval_seconds: int = Field(default=30, ge=1, le=3600)
    max_reset_attempts: Attempts = 3
    boot_grace_seconds: int = Field(default=300, ge=1, le=3600)
    attempts_clear_after_seconds: int = Field(default=3600, ge=1, le=WEEK)
    auto_register: bool = True
    acknowledge_risk: bool = False
    safety: SafetySpec = SafetySpec()
    maintenance: Windows | None = None
    global_stop: GlobalStopSpec | None = None

    @property
    def shortest_safe_timeout_ms(self) -> int:
        """Two report intervals: below it one lost report looks like a dead VM."""
        return 2 * self.report_interval_seconds * 1000

    @model_validator(mode="after")
    def _is_safe_or_acknowledged(self) -> Self:
        if self.acknowledge_risk:
            return self
        wrong = []
        if self.stale_timeout_ms < self.shortest_safe_timeout_ms:
            wrong.append(refusal("staleTimeoutMs", message=STALE_TOO_SHORT))
        if self.safety.max_down_percent == 100:  # noqa: PLR2004 - the whole
            wrong.append(refusal("safety", "maxDownPercent", message=FLEET_BRAKE_OFF))
        if self.safety.max_node_down_percent == 100:  # noqa: PLR2004 - the whole
            wrong.append(refusal("safety", "maxNodeDownPercent", message=NODE_BRAKE_OFF))
        refuse(self, wrong)
        return self

    def to_policy(self) -> Policy:
        """Say the same in the values the rules work with."""
        return Policy(
            stale_timeout=timedelta(milliseconds=self.stale_timeout_ms),
            cpu_threshold=self.cpu_threshold,
            ram_threshold=self.ram_threshold,
            auto_reset_enabled=self.auto_reset_enabled,
            dry_run=self.dry_run,
            stale_check_interval=timedelta(seconds=self.stale_check_interval_seconds),
            report_interval=timedelta(seconds=self.report_interval_seconds),
            max_reset_attempts=self.max_reset_attempts,
            boot_grace=timedelta(seconds=self.boot_grace_seconds),
            attempts_clear_after=timedelta(seconds=self.attempts_clear_after_seconds),
            auto_register=self.auto_register,
            safety=self.safety.to_policy(),
        )


def parse_system_config(spec: Mapping[str, Any]) -> SystemConfigSpec:
    """Read `spec` of a SystemConfig object; raises InvalidSpec."""
    return SystemConfigSpec.parse(spec, KIND)
