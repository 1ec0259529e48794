"""Conditions of the custom resources' status: their words, and how a new one joins the old.

Pure: the operator decides what is true and writes the result; the time is an argument.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

MESSAGE_MAX = 32_768
"""The API server refuses a longer message."""


class ConditionType(StrEnum):
    """What is being said."""

    READY = "Ready"
    """The spec is accepted and in force. Says nothing of the guest: GitOps tools wait for it."""
    RECONCILING = "Reconciling"
    """Not Ready yet, and may become so without a change of this object. Only there while True."""
    STALLED = "Stalled"
    """Not Ready, and stays so until somebody changes something. Only there while True."""
    HEALTHY = "Healthy"
    """VirtualMachine: it reports and is below its thresholds."""
    REMEDIATION_ALLOWED = "RemediationAllowed"
    """VirtualMachine: were it down, it would be reset now; else the reason is the hold's."""
    REACHABLE = "Reachable"
    """ProxmoxCluster: its API answers, and the token is accepted."""


class ReadyReason(StrEnum):
    """Why an object is Ready, or not."""

    MONITORED = "Monitored"
    """VirtualMachine: watched under this spec."""
    IN_FORCE = "InForce"
    """SystemConfig: its VMs are judged by this spec."""
    CONNECTED = "Connected"
    """ProxmoxCluster: the API answers and the token may do what is needed."""
    INVALID_SPEC = "InvalidSpec"
    CONFLICT = "Conflict"
    """Two VirtualMachines name one VM; this is the younger."""
    NOT_QEMU = "NotQemu"
    """The id belongs to a container, which has no reset."""
    CLUSTER_NOT_FOUND = "ClusterNotFound"
    CONFIG_NOT_FOUND = "ConfigNotFound"
    TOMBSTONED = "Tombstoned"
    """The object is being deleted: reports are stored, nothing is reset."""
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a reason, not a secret
    """ProxmoxCluster: the Secret, or a key in it, is missing."""
    UNREACHABLE = "Unreachable"
    TOKEN_REFUSED = "TokenRefused"  # noqa: S105 - a reason, not a token
    """ProxmoxCluster: 401, the token is wrong, expired or revoked."""
    TOKEN_LACKS_RIGHTS = "TokenLacksRights"  # noqa: S105 - a reason, not a token
    """ProxmoxCluster: reachable, but `status.tokenMissing` names what it may not do."""


STALLS = frozenset(
    {
        ReadyReason.INVALID_SPEC,
        ReadyReason.CONFLICT,
        ReadyReason.NOT_QEMU,
        ReadyReason.TOKEN_REFUSED,
        ReadyReason.TOKEN_LACKS_RIGHTS,
    }
)
"""Reasons for which waiting does not help; with all others it may."""


class HealthyReason(StrEnum):
    """Reasons of Healthy beside those of the transitions."""

    NEVER_REPORTED = "NeverReported"
    NOT_MONITORED = "NotMonitored"
    """Ready is False and says why."""


class RemediationReason(StrEnum):
    """Reasons of RemediationAllowed beside those of the holds."""

    ALLOWED = "Allowed"
    RESET_PENDING = "ResetPending"
    """A reset was sent; the first heartbeat after it is awaited."""


class ConditionStatus(StrEnum):
    """Kubernetes' three-valued truth."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """One statement on an object, as of `at` (aware)."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str
    at: datetime
    observed_generation: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Say it in the shape of Kubernetes' metav1.Condition."""
        shape: dict[str, Any] = {
            "type": str(self.type),
            "status": str(self.status),
            "reason": str(self.reason),
            "message": self.message[:MESSAGE_MAX],
            "lastTransitionTime": _rfc3339(self.at),
        }
        if self.observed_generation is not None:
            shape["observedGeneration"] = self.observed_generation
        return shape


def merge_condition(
    existing: Iterable[Mapping[str, Any]], condition: Condition
) -> list[dict[str, Any]]:
    """Put a condition in the place of the one of its type, or at the end; returns a new list.

    `lastTransitionTime` stays that of the old one unless the status (True, False, Unknown) flips;
    reason and message may change without it.
    """
    fresh = condition.to_dict()
    merged: list[dict[str, Any]] = []
    placed = False
    for old in existing:
        if old.get("type") != fresh["type"]:
            merged.append(dict(old))
        elif not placed:
            merged.append(_keep_transition_time(old, fresh))
            placed = True
    return merged if placed else [*merged, fresh]


def settle(existing: Iterable[Mapping[str, Any]], ready: Condition) -> list[dict[str, Any]]:
    """Put Ready in, and beside it Reconciling or Stalled as kstatus has them: only while True."""
    stalled, reconciling = ConditionType.STALLED, ConditionType.RECONCILING
    told: ConditionType | None = None
    if ready.status is not ConditionStatus.TRUE:
        told = stalled if ready.reason in STALLS else reconciling
    kept = [one for one in existing if one.get("type") not in {stalled, reconciling} - {told}]
    merged = merge_condition(kept, ready)
    if told is None:
        return merged
    return merge_condition(merged, replace(ready, type=told, status=ConditionStatus.TRUE))


def _keep_transition_time(old: Mapping[str, Any], fresh: dict[str, Any]) -> dict[str, Any]:
    if old.get("status") == fresh["status"] and old.get("lastTransitionTime"):
        return fresh | {"lastTransitionTime": old["lastTransitionTime"]}
    return fresh


def _rfc3339(moment: datetime) -> str:
    """UTC to the second, as Kubernetes writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
