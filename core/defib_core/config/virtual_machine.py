"""The spec of VirtualMachine: which VM it is, and how it may be treated.

Holds the ranges and rules; what they mean stands in the YAML. Identity (`clusterRef`, `vmid`)
cannot change; the API server holds that, since only it sees the old object.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field
from pydantic_core import PydanticCustomError

from defib_core.config.base import Problem, SpecModel
from defib_core.config.names import Hostname, Reference
from defib_core.config.system_config import (
    Attempts,
    StaleTimeoutMs,
    SystemConfigSpec,
    Threshold,
)
from defib_core.domain.actions import Action
from defib_core.domain.policy import DEFAULT_STEPS

KIND = "VirtualMachine"

VMID_MIN = 100
VMID_MAX = 999_999_999

REASON_WANTED = "a pause needs a reason that says who paused this VM and why"

SOMETHING = re.compile(r"\S")

Step = Literal[Action.RESET, Action.STOP_START]


def _says_something(value: str) -> str:
    if not SOMETHING.search(value):
        raise PydanticCustomError("rule", REASON_WANTED)
    return value


class Overrides(SpecModel):
    """`spec.overrides`: this VM's own limits in place of its SystemConfig's."""

    stale_timeout_ms: StaleTimeoutMs | None = None
    cpu_threshold: Threshold | None = None
    ram_threshold: Threshold | None = None

    @property
    def stale_timeout(self) -> timedelta | None:
        """The override as a duration."""
        if self.stale_timeout_ms is None:
            return None
        return timedelta(milliseconds=self.stale_timeout_ms)


class Remediation(SpecModel):
    """`spec.remediation`: whether and how this VM may be reset."""

    enabled: bool = True
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=10)] = DEFAULT_STEPS  # type: ignore[assignment]  # a contract test holds the default to the two steps
    max_attempts: Attempts | None = None


class Pause(SpecModel):
    """`spec.paused`: states still move, nothing is reset."""

    reason: Annotated[str, Field(max_length=1024), AfterValidator(_says_something)]
    until: AwareDatetime | None = None


class VirtualMachineSpec(SpecModel):
    """`spec` of a VirtualMachine."""

    vmid: int = Field(ge=VMID_MIN, le=VMID_MAX)
    hostname: Hostname | None = None
    cluster_ref: Reference = Reference()
    config_ref: Reference = Reference()
    proxmox_name: Hostname | None = None
    overrides: Overrides = Overrides()
    remediation: Remediation = Remediation()
    paused: Pause | None = None

    def problems_under(self, config: SystemConfigSpec) -> tuple[Problem, ...]:
        """Say what only shows beside the SystemConfig in force; empty where all is well."""
        own = self.overrides.stale_timeout_ms
        if own is None or config.acknowledge_risk or own >= config.shortest_safe_timeout_ms:
            return ()
        message = (
            f"{own} ms is shorter than two report intervals of the SystemConfig"
            f" ({config.shortest_safe_timeout_ms} ms): one lost report would make this VM down."
            " Raise it, or set acknowledgeRisk: true in the SystemConfig"
        )
        return (Problem("spec.overrides.staleTimeoutMs", message),)


def parse_virtual_machine(spec: Mapping[str, Any]) -> VirtualMachineSpec:
    """Read `spec` of a VirtualMachine object; raises InvalidSpec."""
    return VirtualMachineSpec.parse(spec, KIND)
