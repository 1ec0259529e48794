"""Which VMs are asked for, and in which order. Pure: what a request says, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from defib_core.domain.states import State

UNHEALTHY_FIRST: Mapping[State, int] = {
    State.RESET_FAILED: 0,
    State.DOWN: 1,
    State.WARNING: 2,
    State.UNKNOWN: 3,
    State.HEALTHY: 4,
}


class Sort(StrEnum):
    """By what a list is sorted; VMs that are equal in it are sorted by name."""

    HEALTH = "health"
    HOSTNAME = "hostname"
    NODE = "node"
    VMID = "vmid"
    CPU = "cpu"
    RAM = "ram"
    LAST_HEARTBEAT = "lastHeartbeat"


@dataclass(frozen=True, slots=True)
class LabelWanted:
    """A label that a VM must have; `value` None: with whatever value."""

    key: str
    value: str | None

    @classmethod
    def read(cls, text: str) -> "LabelWanted":
        """Read `key` or `key=value`."""
        key, equals, value = text.partition("=")
        return cls(key, value if equals else None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a VM must be like to be listed; None: whatever it is."""

    search: str | None = None
    states: frozenset[State] | None = None
    node: str | None = None
    cluster: str | None = None
    labels: tuple[LabelWanted, ...] = ()
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class Ordering:
    """The order of a list."""

    by: Sort = Sort.HEALTH
    reverse: bool = False

    def __str__(self) -> str:
        """Say it as a request does: `-cpu`."""
        return f"{'-' if self.reverse else ''}{self.by}"
