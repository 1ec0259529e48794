"""What people are told of, how bad it is, and what of it belongs together. Pure.

Words of kinds and severities are those of the configuration, the messages and the database.
"""

from enum import StrEnum


class NoticeKind(StrEnum):
    """What happened."""

    VM_DOWN = "VmDown"
    VM_RECOVERED = "VmRecovered"
    RESET_FAILED = "ResetFailed"
    """All attempts are used."""
    VM_HELD = "VmHeld"
    """It is down and has been held for longer than the grace."""
    GUEST_ALIVE = "GuestAlive"
    """It has shown signs of life for an hour, and its agent none."""
    BRAKE_IN_FORCE = "BrakeInForce"
    BRAKE_LET_GO = "BrakeLetGo"

    @property
    def severity(self) -> "Severity":
        """Say how bad it is."""
        return SEVERITIES[self]


class Severity(StrEnum):
    """How bad it is, from the least to the most."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """A number to compare by."""
        return tuple(Severity).index(self)


SEVERITIES = {
    NoticeKind.VM_DOWN: Severity.WARNING,
    NoticeKind.VM_RECOVERED: Severity.INFO,
    NoticeKind.RESET_FAILED: Severity.CRITICAL,
    NoticeKind.VM_HELD: Severity.WARNING,
    NoticeKind.GUEST_ALIVE: Severity.WARNING,
    NoticeKind.BRAKE_IN_FORCE: Severity.CRITICAL,
    NoticeKind.BRAKE_LET_GO: Severity.INFO,
}
