"""Proxmox tasks: their names, their ends, and who may see them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count

OK = "OK"
UNEXPECTED = "unexpected status"
"""What Proxmox says of a task whose log has no last word: its worker was killed."""


@dataclass(slots=True)
class Task:
    """A worker. `exitstatus` is there once it has ended."""

    upid: str
    node: str
    pid: int
    pstart: int
    task_type: str
    task_id: str
    user: str
    """`user@realm`, or `user@realm!name` for a token."""
    started: datetime
    ended: datetime | None = None
    exitstatus: str | None = None

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return self.exitstatus is None

    @property
    def has_failed(self) -> bool:
        """Judge by Proxmox's rule."""
        status = self.exitstatus or OK
        return status != OK and not status.startswith("WARNINGS: ")

    def log(self) -> list[str]:
        """Give the log; its last line is what Proxmox reads the exit status from."""
        if self.exitstatus in {None, UNEXPECTED}:
            return []
        if self.has_failed:
            return [f"TASK ERROR: {self.exitstatus}"]
        return [f"TASK {self.exitstatus}"]


class TaskBook:
    """All tasks there ever were, by node. A task stays on its node when the VM moves."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._pids = count(0x1A2B)

    def begin(self, *, node: str, task_type: str, vmid: int, user: str, now: datetime) -> Task:
        """Fork a worker."""
        pid = next(self._pids)
        pstart = int(now.timestamp() * 100) & 0xFFFFFFFF
        started = int(now.timestamp())
        upid = f"UPID:{node}:{pid:08X}:{pstart:08X}:{started:08X}:{task_type}:{vmid}:{user}:"
        task = Task(upid, node, pid, pstart, task_type, str(vmid), user, now)
        self._tasks[upid] = task
        return task

    def end(self, task: Task, exitstatus: str, now: datetime) -> None:
        """Close it, unless something ended it before."""
        if task.is_running:
            task.exitstatus, task.ended = exitstatus, now

    def find(self, node: str, upid: str) -> Task | None:
        """Find a task where it ran."""
        task = self._tasks.get(upid)
        return task if task is not None and task.node == node else None

    def on(self, node: str) -> Iterator[Task]:
        """List a node's tasks, newest first."""
        return (task for task in reversed(self._tasks.values()) if task.node == node)
