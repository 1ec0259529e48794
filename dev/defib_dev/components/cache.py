"""Defib's per-user cache folder: what was got or built once serves all checkouts."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_SECONDS = 0.25

Report = Callable[[str], None]
"""Takes one short line on how far things are; called often."""


def folder() -> Path:
    """`$XDG_CACHE_HOME/defib`, or `~/.cache/defib`."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "defib"


class Cancelled(Exception):
    """The work was given up because its caller no longer wants it."""


@contextmanager
def exclusive(lock: Path, *, report: Report, cancelled: Callable[[], bool]) -> Iterator[Report]:
    """Hold the lock file; while somebody else does, pass his progress on to `report`.

    Yields the report to use inside: it shows the progress to those who wait as well. The kernel
    lets the lock go when its holder dies.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    note = lock.with_suffix(".progress")

    def share(line: str) -> None:
        note.write_text(line)
        report(line)

    with lock.open("a") as handle:
        while not _try_lock(handle.fileno()):
            if cancelled():
                raise Cancelled
            report(f"another process is at it: {_read(note)}")
            time.sleep(_PAUSE_SECONDS)
        try:
            yield share
        finally:
            note.unlink(missing_ok=True)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(note: Path) -> str:
    try:
        return note.read_text()
    except FileNotFoundError:
        return "starting"
