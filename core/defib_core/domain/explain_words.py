"""The words of explain.py: for each check, what it says where it passes, and what ends its hold."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from defib_core.domain.decide import Case
from defib_core.domain.reasons import HoldReason

UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def at(moment: datetime) -> str:
    """Write a moment in UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def duration(span: timedelta) -> str:
    """Write a span in its two largest units: 4 m 12 s."""
    left = round(abs(span.total_seconds()))
    parts: list[tuple[int, str]] = []
    for seconds, unit in UNITS:
        count, left = divmod(left, seconds)
        if count or parts:
            parts.append((count, unit))
    shown = [f"{count} {unit}" for count, unit in parts[:2] if count]
    return " ".join(shown) or "0 s"


def _reports(case: Case) -> str:
    wanted = case.treatment.policy.safety.arm_after_reports
    return f"it has sent {case.observation.reports} reports; {wanted} arm it"


def _attempts(case: Case) -> str:
    return f"{case.history.attempts} of {case.treatment.max_attempts} attempts are used"


def _back_off(case: Case) -> str:
    last = case.history.last_attempt_at
    return "no attempt was made lately" if last is None else f"the wait after {at(last)} is over"


def _says(words: str) -> Callable[[Case], str]:
    return lambda _: words


PASSED: Mapping[HoldReason, Callable[[Case], str]] = {
    HoldReason.GLOBAL_STOP: _says("nothing is stopped"),
    HoldReason.AUTO_RESET_DISABLED: _says("autoResetEnabled is true in its SystemConfig"),
    HoldReason.REMEDIATION_DISABLED: _says("spec.remediation.enabled is true for this VM"),
    HoldReason.PAUSED: _says("it is not paused"),
    HoldReason.MAINTENANCE: _says("it is in no maintenance window"),
    HoldReason.OBSERVING: _reports,
    HoldReason.ATTEMPTS_EXHAUSTED: _attempts,
    HoldReason.INGEST_BLIND: _says("reports are being stored"),
    HoldReason.RELAY_BLIND: _says("its relay is heard, or it reports without one"),
    HoldReason.REPORTS_REJECTED: _says("no report of it was refused within its timeout"),
    HoldReason.PATH_FAILURE: _says("less than half of its fleet is silent"),
    HoldReason.FLEET_BRAKE: _says("its fleet, cluster and failure domain are not braked"),
    HoldReason.NODE_BRAKE: _says("its node is not braked"),
    HoldReason.STORM_COOLDOWN: _says("no brake on it has let go lately"),
    HoldReason.BACK_OFF: _back_off,
}

NEEDED: Mapping[HoldReason, str] = {
    HoldReason.GLOBAL_STOP: "the global stop ends, and one more full timeout passes",
    HoldReason.AUTO_RESET_DISABLED: "autoResetEnabled is set to true, or a person asks for it",
    HoldReason.REMEDIATION_DISABLED: "remediation is enabled, or a person asks for it",
    HoldReason.PAUSED: "its pause ends, and one more full timeout passes",
    HoldReason.MAINTENANCE: "the maintenance ends, and one more full timeout passes",
    HoldReason.OBSERVING: "it sends the reports that arm it",
    HoldReason.ATTEMPTS_EXHAUSTED: "a person finds the cause and clears it, or forces a reset",
    HoldReason.INGEST_BLIND: "an API replica stores again, and one more full timeout passes",
    HoldReason.RELAY_BLIND: "its relay proves itself again, and one more full timeout passes",
    HoldReason.CONTROL_PLANE_STALE: "the operator hears the Kubernetes API again",
    HoldReason.REPORTS_REJECTED: "its reports are accepted again; it is alive, so mend its agent",
    HoldReason.PATH_FAILURE: "the others report again: look for what they have in common",
    HoldReason.FLEET_BRAKE: "enough of the others report again",
    HoldReason.NODE_BRAKE: "enough of the others on its node report again",
    HoldReason.STORM_COOLDOWN: "the cooldown after a brake passes",
    HoldReason.BACK_OFF: "the wait after the last attempt passes",
    HoldReason.HOURLY_LIMIT: "the hour moves on",
    HoldReason.IN_FLIGHT_LIMIT: "a reset under way ends",
    HoldReason.PROXMOX_UNREACHABLE: "Proxmox answers again",
    HoldReason.PROXMOX_FORBIDDEN: "the Proxmox token is given the rights it lacks",
    HoldReason.NODE_OFFLINE: "its Proxmox node is back",
    HoldReason.VM_NOT_FOUND: "the VM exists in Proxmox under this vmid",
    HoldReason.NOT_QEMU: "nothing helps: Proxmox cannot reset containers",
    HoldReason.TEMPLATE: "nothing helps: a template does not run",
    HoldReason.IDENTITY_MISMATCH: "the VM under this vmid is the one that reported",
    HoldReason.VM_STOPPED: "a person switches it on; Defib starts nothing that was switched off",
    HoldReason.VM_PAUSED: "it is resumed in Proxmox, by whoever paused it",
    HoldReason.VM_LOCKED: "its lock in Proxmox is released, as when the backup ends",
    HoldReason.HA_IN_TRANSITION: "Proxmox HA has settled it",
    HoldReason.NO_QUORUM: "the Proxmox cluster has its quorum back",
    HoldReason.STORAGE_ERROR: "its storage is freed or repaired",
    HoldReason.GUEST_AGENT_ALIVE: "its guest agent falls silent; it lives, so mend its agent",
    HoldReason.IO_ACTIVE: "its disks and network fall still; it lives, so mend its agent",
    HoldReason.LOOKING: "its traffic has been watched for long enough",
}
