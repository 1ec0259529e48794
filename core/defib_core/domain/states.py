"""The states a VM can be in, and the words the REST API uses for them.

One vocabulary: the same strings stand in the custom resource, the database, the JSON and the
metrics.
"""

from enum import StrEnum


class State(StrEnum):
    """What Defib believes of a VM."""

    UNKNOWN = "unknown"
    """It has never reported."""
    HEALTHY = "healthy"
    WARNING = "warning"
    """It reports, but CPU or RAM are above their thresholds."""
    DOWN = "down"
    """It has been silent for longer than its stale timeout."""
    RESET_FAILED = "reset_failed"
    """It is down and its attempts are used up; a person has to look."""

    @property
    def is_alive(self) -> bool:
        """True where the last word of the VM was a heartbeat within its timeout."""
        return self in (State.HEALTHY, State.WARNING)


class Health(StrEnum):
    """The REST API's four words: the three of the contract, and `unknown`."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    WARNING = "warning"
    DOWN = "down"


def health_of(state: State) -> Health:
    """Say a state in the REST API's words; `reset_failed` shows as `down`."""
    if state is State.RESET_FAILED:
        return Health.DOWN
    return Health(state.value)


def reported_state(
    *, cpu_percent: float, ram_percent: float, cpu_limit: float, ram_limit: float
) -> State:
    """Judge a heartbeat: strictly above either threshold (percent) is a warning."""
    if cpu_percent > cpu_limit or ram_percent > ram_limit:
        return State.WARNING
    return State.HEALTHY
