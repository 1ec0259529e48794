"""Why Defib did something, or did not.

Each word is used unchanged in the database, the condition, the Event, the metric label, the log
line and the dashboard. A new reason is added here first.
"""

from enum import StrEnum


class TransitionReason(StrEnum):
    """Why a VM changed its state."""

    FIRST_HEARTBEAT = "FirstHeartbeat"
    HEARTBEAT_FRESH = "HeartbeatFresh"
    """It reports again, below its thresholds."""
    THRESHOLD_EXCEEDED = "ThresholdExceeded"
    THRESHOLDS_KEPT = "ThresholdsKept"
    HEARTBEAT_MISSING = "HeartbeatMissing"
    ATTEMPTS_EXHAUSTED = "AttemptsExhausted"
    CLEARED = "Cleared"
    """A person cleared `reset_failed`."""


class HoldReason(StrEnum):
    """Why a VM that is down is not reset now. In the order in which they are checked."""

    # 1. a person's will, and history
    GLOBAL_STOP = "GlobalStop"
    AUTO_RESET_DISABLED = "AutoResetDisabled"
    REMEDIATION_DISABLED = "RemediationDisabled"
    PAUSED = "Paused"
    MAINTENANCE = "Maintenance"
    OBSERVING = "Observing"
    ATTEMPTS_EXHAUSTED = "AttemptsExhausted"
    # 2. are we the sick one
    INGEST_BLIND = "IngestBlind"
    RELAY_BLIND = "RelayBlind"
    CONTROL_PLANE_STALE = "ControlPlaneStale"
    REPORTS_REJECTED = "ReportsRejected"
    # 3. is it bigger than this VM
    PATH_FAILURE = "PathFailure"
    FLEET_BRAKE = "FleetBrake"
    NODE_BRAKE = "NodeBrake"
    STORM_COOLDOWN = "StormCooldown"
    BACK_OFF = "BackOff"
    HOURLY_LIMIT = "HourlyLimit"
    IN_FLIGHT_LIMIT = "InFlightLimit"
    # 4. what Proxmox says
    PROXMOX_UNREACHABLE = "ProxmoxUnreachable"
    PROXMOX_FORBIDDEN = "ProxmoxForbidden"
    NODE_OFFLINE = "NodeOffline"
    VM_NOT_FOUND = "VMNotFound"
    NOT_QEMU = "NotQemu"
    TEMPLATE = "Template"
    IDENTITY_MISMATCH = "IdentityMismatch"
    VM_STOPPED = "VMStopped"
    VM_PAUSED = "VMPaused"
    VM_LOCKED = "VMLocked"
    HA_IN_TRANSITION = "HAInTransition"
    NO_QUORUM = "NoQuorum"
    STORAGE_ERROR = "StorageError"
    # 5. is it alive after all
    GUEST_AGENT_ALIVE = "GuestAgentAlive"
    IO_ACTIVE = "IOActive"
    LOOKING = "Looking"


def known_hold(word: str) -> HoldReason | None:
    """Read a hold's reason; None for one that only a later version has, which was here before."""
    try:
        return HoldReason(word)
    except ValueError:
        return None


class CancelReason(StrEnum):
    """Why an intent came to nothing without a POST, where no hold is the reason."""

    HEARTBEAT = "HeartbeatSinceIntent"
    NO_LONGER_DOWN = "NoLongerDown"
    """Its clock was started again, or its timeout was prolonged."""
    NOT_MANAGED = "NotManaged"
    """No VirtualMachine stands for it."""
    EXPIRED = "Expired"
    """Nobody took it up in time."""
