"""Batches of reports on disk: written whole and synced before anybody is answered, bounded in size.

A file is a batch; its name says its turn, how many reports it holds, and whether they came under
keys that are proven. What is over the bound goes from the oldest end, and is counted, across
restarts too; what is not proven has a share of its own, and pushes nothing out. Only one process
may use a folder.
"""

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROVEN, UNPROVEN, UNFINISHED = ".batch", ".unproven", ".new"
UNPROVEN_SHARE = 10
"""What came under keys that nobody could check takes a tenth of the room at most."""


class NoRoom(Exception):
    """What is not proven has filled its share."""


@dataclass(frozen=True, slots=True)
class _Kept:
    size: int
    reports: int
    proven: bool


class SpoolInUse(Exception):
    """Another relay works with this folder."""


class Spool:
    """The folder. Its methods block; those that write are for a thread."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._sizes: dict[int, _Kept] = {}
        """By turn."""
        self._next = 1
        self._lock: int | None = None
        self.lost = 0

    @property
    def waiting(self) -> int:
        """How many reports are kept."""
        return sum(one.reports for one in tuple(self._sizes.values()))

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
        for suffix in (PROVEN, UNPROVEN):
            for file in self._folder.glob(f"*{suffix}"):
                turn, reports = file.stem.split("-")
                size = file.stat().st_size
                self._sizes[int(turn)] = _Kept(size, int(reports), suffix == PROVEN)
        self._next = max(self._sizes, default=0) + 1
        with suppress(FileNotFoundError, ValueError):
            self.lost = int((self._folder / "lost").read_text())

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def add(self, payload: bytes, reports: int, *, proven: bool = True) -> None:
        """Keep a batch: it is on disk when this returns. The oldest make room for it.

        Raises NoRoom where it is not proven: nothing makes room for that.
        """
        kept = _Kept(len(payload), reports, proven)
        if proven:
            self._make_room(kept.size)
        elif self._has_no_room(kept.size):
            raise NoRoom
        turn = self._next
        self._next += 1
        self._write(_name(turn, kept), payload)
        self._sizes[turn] = kept

    def prove(self) -> None:
        """Show that a batch could be kept; raise OSError where it could not."""
        self._write("proof", b"this disk takes what is written to it\n")

    def newest(self, *, unproven_first: bool = False) -> int | None:
        """The turn of the batch that came last, the proven first or last; None where none waits."""
        kept = tuple(self._sizes.items())  # another thread may be adding
        for proven in (not unproven_first, unproven_first):
            turn = max((turn for turn, one in kept if one.proven is proven), default=None)
            if turn is not None:
                return turn
        return None

    def read(self, turn: int) -> bytes | None:
        """Read a batch; None where it has made room meanwhile."""
        kept = self._sizes.get(turn)
        if kept is None:
            return None
        try:
            return (self._folder / _name(turn, kept)).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, turn: int) -> None:
        """A batch was taken by the API."""
        kept = self._sizes.pop(turn, None)
        if kept is not None:
            (self._folder / _name(turn, kept)).unlink(missing_ok=True)

    def lose(self, turn: int) -> int:
        """Give a batch up, and count it; return how many reports that were."""
        kept = self._sizes.get(turn)
        reports = 0 if kept is None else kept.reports
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
            unproven = (turn for turn, one in tuple(self._sizes.items()) if not one.proven)
            self.lose(min(unproven, default=min(self._sizes)))

    def _has_no_room(self, wanted: int) -> bool:
        share = self._most_bytes // UNPROVEN_SHARE
        unproven = sum(one.size for one in tuple(self._sizes.values()) if not one.proven)
        return unproven + wanted > share or self._bytes() + wanted > self._most_bytes

    def _bytes(self) -> int:
        return sum(one.size for one in tuple(self._sizes.values()))

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


def _name(turn: int, kept: _Kept) -> str:
    return f"{turn:012d}-{kept.reports}{PROVEN if kept.proven else UNPROVEN}"
