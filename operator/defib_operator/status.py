"""The status of a VirtualMachine, made of what the database knows. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from defib_core.config.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    HealthyReason,
    ReadyReason,
    RemediationReason,
    merge_condition,
    settle,
)
from defib_core.domain.reasons import HoldReason, TransitionReason
from defib_core.domain.states import State
from defib_core.store.projection import VmStatus

Shape = dict[str, Any]
Why = tuple[str, str]
"""A reason's word, and the sentence for people."""
AGENT_SUSPECTED = "for more than an hour: repair its agent"
YES, NO = ConditionStatus.TRUE, ConditionStatus.FALSE
OF_THE_GUEST = (
    "health",
    "hostname",
    "node",
    "lastHeartbeat",
    "cpuPercent",
    "ramPercent",
    "resetAttempts",
    "resetPending",
    "lastReset",
    "cloneSuspected",
)


def status_of(one: VmStatus, existing: Sequence[Mapping[str, Any]], now: datetime) -> Shape:
    """Build the whole status; `existing` are the conditions the object has now."""
    conditions = settle(existing, ready(one, now))
    for condition in (healthy(one, now), remediation(one, now)):
        conditions = merge_condition(conditions, condition)
    return {
        "observedGeneration": one.generation,
        "health": one.state.value,
        "hostname": one.hostname,
        "node": one.node,
        "lastHeartbeat": rfc3339(one.last_heartbeat),
        "cpuPercent": None if one.cpu is None else round(one.cpu),
        "ramPercent": _ram_percent(one),
        "resetAttempts": one.reset_attempts,
        "resetPending": one.reset_pending,
        "lastReset": _last_reset(one),
        "cloneSuspected": True if one.clone_since is not None else None,
        "conditions": conditions,
    }


def refused_status(
    why: Why, generation: int, existing: Sequence[Mapping[str, Any]], now: datetime
) -> Shape:
    """Build the status of an object that stands for no VM: nothing is said of any guest."""
    unknown, elsewhere = ConditionStatus.UNKNOWN, "Ready says why"
    refused = Condition(ConditionType.READY, NO, str(why[0]), why[1], now, generation)
    conditions = settle(existing, refused)
    for kind, word, (reason, message) in (
        (ConditionType.HEALTHY, unknown, (HealthyReason.NOT_MONITORED, elsewhere)),
        (ConditionType.REMEDIATION_ALLOWED, NO, (why[0], elsewhere)),
    ):
        condition = Condition(kind, word, str(reason), message, now, generation)
        conditions = merge_condition(conditions, condition)
    cleared = dict.fromkeys(OF_THE_GUEST)
    return {**cleared, "observedGeneration": generation, "conditions": conditions}


def ready(one: VmStatus, now: datetime) -> Condition:
    """Say whether the spec is accepted and the VM monitored."""
    refused = _not_ready(one)
    if refused is not None:
        return _is(one, ConditionType.READY, NO, refused, now)
    why = (ReadyReason.MONITORED, "its heartbeats are watched")
    return _is(one, ConditionType.READY, YES, why, now)


def _not_ready(one: VmStatus) -> Why | None:
    if one.rejected is not None:
        return one.rejected, one.rejected_message or ""
    if not one.cluster_known:
        message = f"there is no ProxmoxCluster {one.cluster} in this namespace; apply one"
        return ReadyReason.CLUSTER_NOT_FOUND, message
    return None


def healthy(one: VmStatus, now: datetime) -> Condition:
    """Say what the heartbeats say."""
    if one.rejected is not None:
        why = (HealthyReason.NOT_MONITORED, "Ready says why")
        return _is(one, ConditionType.HEALTHY, ConditionStatus.UNKNOWN, why, now)
    if one.state is State.UNKNOWN:
        message = "it has never reported; install the agent, or check its key and address"
        why = (HealthyReason.NEVER_REPORTED, message)
        return _is(one, ConditionType.HEALTHY, ConditionStatus.UNKNOWN, why, now)
    reason = TransitionReason.HEARTBEAT_FRESH.value
    if one.last_change is not None:
        reason = one.last_change.reason
    word = YES if one.state is State.HEALTHY else NO
    return _is(one, ConditionType.HEALTHY, word, (reason, _health_text(one)), now)


def remediation(one: VmStatus, now: datetime) -> Condition:
    """Say whether it would be reset were it down, or why it is not."""
    held = _not_allowed(one, now)
    if held is not None:
        return _is(one, ConditionType.REMEDIATION_ALLOWED, NO, held, now)
    message = "it is reset when it is silent for too long and every check passes"
    why = (RemediationReason.ALLOWED, message)
    return _is(one, ConditionType.REMEDIATION_ALLOWED, YES, why, now)


def _not_allowed(one: VmStatus, now: datetime) -> Why | None:
    if one.reset_pending:
        return RemediationReason.RESET_PENDING, "a reset was sent; a heartbeat is awaited"
    refused = _not_ready(one)
    if refused is not None:
        return refused[0], "Ready says why"
    if one.hold_reason is not None:
        suspected = f"; {AGENT_SUSPECTED}" if one.agent_suspected else ""
        return one.hold_reason, f"{one.hold_message or ''}{suspected}"
    paused = one.paused_until is None or now < one.paused_until
    standing = (
        (not one.auto_reset_enabled, HoldReason.AUTO_RESET_DISABLED, "autoResetEnabled is false"),
        (not one.remediation_enabled, HoldReason.REMEDIATION_DISABLED, "spec.remediation is off"),
        (one.paused_reason is not None and paused, HoldReason.PAUSED, f"{one.paused_reason}"),
        (one.state is State.UNKNOWN, HoldReason.OBSERVING, "it has never reported"),
    )
    return next(((reason, message) for holds, reason, message in standing if holds), None)


def _health_text(one: VmStatus) -> str:
    match one.state:
        case State.HEALTHY:
            return "it reports, and is below its thresholds"
        case State.WARNING:
            return "it reports, and is above its CPU or RAM threshold"
        case State.RESET_FAILED:
            return (
                f"{one.reset_attempts} attempts did not bring it back; "
                "find the cause, then clear it by hand"
            )
        case _:
            return f"its last heartbeat came at {rfc3339(one.last_heartbeat)}"


def _is(
    one: VmStatus, kind: ConditionType, status: ConditionStatus, why: Why, now: datetime
) -> Condition:
    reason, message = why
    return Condition(kind, status, str(reason), message, now, one.generation)


def _ram_percent(one: VmStatus) -> int | None:
    if one.ram is None or not one.ram_total:
        return None
    return round(100 * one.ram / one.ram_total)


def _last_reset(one: VmStatus) -> Shape | None:
    last = one.last_reset
    if last is None:
        return None
    return {
        "time": rfc3339(last.at),
        "reason": last.reason,
        "outcome": last.outcome,
        "upid": last.upid,
    }


def rfc3339(moment: datetime | None) -> str | None:
    """Write a moment as Kubernetes does."""
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
