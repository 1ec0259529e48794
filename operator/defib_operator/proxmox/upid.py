"""The name of a Proxmox task, as a value.

`UPID:{node}:{pid}:{pstart}:{starttime}:{type}:{id}:{user}:`, the numbers in upper-case hex; the
user may be a token (`user@realm!name`), the id may be empty. Parsing only; no I/O.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

PATTERN = re.compile(
    r"UPID:(?P<node>[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)"
    r":[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:(?P<start>[0-9A-Fa-f]{8})"
    r":(?P<type>[^:/\s]+):(?P<id>[^:/\s]*):(?P<user>[^:/\s]+):"
)


@dataclass(frozen=True, slots=True)
class Upid:
    """A task; ask for it on its own node, even when the VM has moved since."""

    text: str
    node: str
    started_at: datetime
    """By the node's clock, in whole seconds."""
    task_type: str
    """`qmreset`, `qmstop`, `hastop` ..."""
    task_id: str
    """The vmid, for tasks of a VM."""
    user: str
    """`user@realm`, or `user@realm!name` for a token."""

    @classmethod
    def parse(cls, text: object) -> Self | None:
        """Read a UPID; None where it is none."""
        match = PATTERN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            return None
        return cls(
            text=match.group(0),
            node=match["node"],
            started_at=datetime.fromtimestamp(int(match["start"], 16), tz=UTC),
            task_type=match["type"],
            task_id=match["id"],
            user=match["user"],
        )

    def __str__(self) -> str:
        return self.text
