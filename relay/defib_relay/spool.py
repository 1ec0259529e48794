"""Batches of reports on disk: written whole and synced before anybody is answered, bounded in size.

A file is a batch; its name says its turn and how many reports it holds. What is over the bound goes
from the oldest end, and is counted, across restarts too. Only one process may use a folder.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

SUFFIX, UNFINISHED = ".batch", ".new"


class SpoolInUse(Exception):
    """Another relay works with this folder."""


class Spool:
    """The folder. Its methods block; those that write are for a thread."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._sizes: dict[int, tuple[int, int]] = {}
        """Bytes and reports, by turn."""
        self._next = 1
        self._lock: int | None = None
        self.lost = 0

    @property
    def waiting(self) -> int:
        """How many reports are kept."""
        return sum(reports for _, reports in tuple(self._sizes.values()))

    def open(self) -> None:
        """Take up what an earlier process left; raise SpoolInUse, or OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SpoolInUse(f"another relay works with the folder {self._folder}") from error
        for file in self._folder.glob(f"*{UNFINISHED}"):
            file.unlink()
        for file in self._folder.glob(f"*{SUFFIX}"):
            turn, reports = file.stem.split("-")
            self._sizes[int(turn)] = (file.stat().st_size, int(reports))
        self._next = max(self._sizes, default=0) + 1
        with suppress(FileNotFoundError, ValueError):
            self.lost = int((self._folder / "lost").read_text())

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def add(self, payload: bytes, reports: int) -> None:
        """Keep a batch: it is on disk when this returns. The oldest make room for it."""
        self._make_room(len(payload))
        turn = self._next
        self._next += 1
        self._write(self._name(turn, reports), payload)
        self._sizes[turn] = (len(payload), reports)

    def prove(self) -> None:
        """Show that a batch could be kept; raise OSError where it could not."""
        self._write("proof", b"this disk takes what is written to it\n")

    def newest(self) -> int | None:
        """The turn of the batch that came last; None where none waits."""
        return max(self._sizes, default=None)

    def read(self, turn: int) -> bytes | None:
        """Read a batch; None where it has made room meanwhile."""
        size = self._sizes.get(turn)
        if size is None:
            return None
        try:
            return (self._folder / self._name(turn, size[1])).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, turn: int) -> None:
        """A batch was taken by the API."""
        size = self._sizes.pop(turn, None)
        if size is not None:
            (self._folder / self._name(turn, size[1])).unlink(missing_ok=True)

    def lose(self, turn: int) -> int:
        """Give a batch up, and count it; return how many reports that were."""
        reports = self._sizes.get(turn, (0, 0))[1]
        self.remove(turn)
        if reports:
            self.count_lost(reports)
        return reports

    def count_lost(self, reports: int) -> None:
        """Count reports that will never reach the API."""
        self.lost += reports
        self._write("lost", str(self.lost).encode())

    def _make_room(self, wanted: int) -> None:
        while self._sizes and self._bytes() + wanted > self._most_bytes:
            self.lose(min(self._sizes))

    def _bytes(self) -> int:
        return sum(size for size, _ in self._sizes.values())

    def _write(self, name: str, payload: bytes) -> None:
        """Write a file whole: it is there with all of its bytes, or not at all."""
        unfinished = self._folder / f"{name}{UNFINISHED}"
        with unfinished.open("wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(self._folder / name)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _name(self, turn: int, reports: int) -> str:
        return f"{turn:012d}-{reports}{SUFFIX}"
