"""What can be made to go wrong, by name. The names are the control interface's."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ApiMode(StrEnum):
    """How the whole API behaves."""

    OK = "ok"
    UNREACHABLE = "unreachable"
    """Nobody accepts a connection."""
    FORBIDDEN = "forbidden"
    """Every right is gone: empty lists with 200, and 403 where Proxmox checks."""
    EMPTY = "empty"
    """The list of VMs has no rows, with 200; the rest works."""
    NO_QUORUM = "noQuorum"
    """Only starting a VM and HA's requests need a quorum."""


class PostFault(StrEnum):
    """What becomes of the next power POST."""

    TIMEOUT_EXECUTED = "timeoutExecuted"
    TIMEOUT_NOT_EXECUTED = "timeoutNotExecuted"
    DROPPED = "dropped"
    """Carried out, and the connection breaks before the answer."""
    DROPPED_NOT_EXECUTED = "droppedNotExecuted"
    HTTP_500 = "http500"
    """Refused with words."""
    HTML_200 = "html200"
    """Something in between answers with a page; not carried out."""
    FOREIGN_UPID = "foreignUpid"
    """The answer names a task of another VM; not carried out."""
    TASK_ERROR = "taskError"
    """Taken with 200, and the task fails without effect."""
    TASK_WARNINGS = "taskWarnings"
    """Works, and the task ends with `WARNINGS: 1`."""
    TASK_KILLED = "taskKilled"
    """The worker dies: `unexpected status`, without effect."""
    TASK_HANGS = "taskHangs"
    """The task never ends, without effect."""

    @property
    def is_executed(self) -> bool:
        """Whether a worker is forked all the same."""
        return self not in {
            PostFault.TIMEOUT_NOT_EXECUTED,
            PostFault.DROPPED_NOT_EXECUTED,
            PostFault.HTTP_500,
            PostFault.HTML_200,
            PostFault.FOREIGN_UPID,
        }


@dataclass(slots=True)
class PostRecord:
    """A power POST that reached Proxmox, whatever became of it."""

    time: datetime
    vmid: int
    action: str
    node: str
    fault: PostFault | None = None
    upid: str | None = None
    """The task that was really forked, even where the caller was told otherwise."""
    refused: str | None = None
    """Proxmox's words where none was."""
