"""Keys that the API has taken reports under: what comes under others may fill a share of the disk.

A relay cannot check keys, and while the API is away it keeps what comes. Whoever reaches it and has
no key shall not push out what the guests of the site say. Digests only, kept across restarts.
"""

import re
from collections.abc import Collection
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

FILE = "keys"
MOST = 100_000
DIGEST = re.compile(r"[0-9a-f]{64}")


class Proven:
    """The digests, in memory and in a file of the relay's folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._digests: set[str] = set()

    def open(self) -> None:
        """Read what an earlier process learnt; without it, everybody has to prove himself anew."""
        try:
            text = self._file.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return
        self._digests = {line for line in text.split() if DIGEST.fullmatch(line)}

    def knows(self, digest: str) -> bool:
        """Whether the API has taken a report under this key."""
        return digest in self._digests

    def learn(self, taken: Collection[str], refused: Collection[str]) -> None:
        """Take in what the API said of a batch. Blocks where that is new: it is for a thread.

        A file that cannot be written is logged: the memory goes on.
        """
        new = set(taken) - self._digests - set(refused)
        gone = self._digests & set(refused)
        if not new and not gone:
            return
        if len(self._digests) + len(new) > MOST:
            self._digests.clear()
        self._digests = (self._digests | new) - gone
        whole = bool(gone) or len(self._digests) == len(new)
        try:
            with self._file.open("w" if whole else "a", encoding="ascii") as stream:
                stream.writelines(f"{one}\n" for one in (self._digests if whole else new))
        except OSError as error:
            log.warning("relay.keys_not_written", error=error.strerror or str(error))
