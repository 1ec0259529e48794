"""Where kopf's thread leaves VirtualMachines for the operator's loop, which takes many at once.

Of each object only what was heard last is kept. Nobody waits for a place: beyond its bound the
inbox keeps no more objects, only that they came, and the next listing finds them. So a fleet that
changes all at once costs no memory.
"""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from defib_operator.bodies import Body

AT_MOST = 2000
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Letter:
    """An object as it was heard of last; `gone` says that it was deleted."""

    body: Body
    gone: bool

    @property
    def uid(self) -> str:
        """Which object."""
        uid: str = self.body["metadata"]["uid"]
        return uid


class Inbox:
    """Filled from any thread, emptied by the loop it was made in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._letters: dict[str, Letter] = {}
        self._in_hand: frozenset[str] = frozenset()
        self._home = asyncio.get_running_loop()
        self._filled = asyncio.Event()

    def put(self, letter: Letter) -> bool:
        """Leave one; False where there is no room. A deletion always finds some: it is small."""
        with self._lock:
            is_new = letter.uid not in self._letters
            if is_new and len(self._letters) >= AT_MOST and not letter.gone:
                return False
            self._letters[letter.uid] = letter
        self._home.call_soon_threadsafe(self._filled.set)
        return True

    def holds(self, uid: str) -> bool:
        """Whether something of the object waits, or is being taken in."""
        with self._lock:
            return uid in self._letters or uid in self._in_hand

    async def take(self) -> Sequence[Letter]:
        """Wait for letters, and take at most AT_ONCE of them, oldest first; say `done` then."""
        await self._filled.wait()
        with self._lock:
            taken = [self._letters.pop(uid) for uid in list(islice(self._letters, AT_ONCE))]
            self._in_hand = frozenset(one.uid for one in taken)
            if not self._letters:
                self._filled.clear()
        return taken

    def done(self) -> None:
        """What was taken last is in force, or given up."""
        with self._lock:
            self._in_hand = frozenset()
