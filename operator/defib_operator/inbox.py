"""Where kopf's thread leaves VirtualMachines for the operator's loop, which takes many at once.

Nobody waits for a place: beyond its bound the inbox keeps no more objects, only that they came, and
the next listing finds them. So a fleet that changes all at once costs no memory.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from defib_operator.bodies import Body

AT_MOST = 2000
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Letter:
    """An object as it was heard of; `gone` says that it was deleted."""

    body: Body
    gone: bool


class Inbox:
    """Filled from any thread, emptied by the loop it was made in."""

    def __init__(self) -> None:
        self._letters: deque[Letter] = deque()
        self._home = asyncio.get_running_loop()
        self._filled = asyncio.Event()

    def put(self, letter: Letter) -> bool:
        """Leave one; False where there is no room. A deletion always finds some: it is small."""
        if len(self._letters) >= AT_MOST and not letter.gone:
            return False
        self._letters.append(letter)
        self._home.call_soon_threadsafe(self._filled.set)
        return True

    async def take(self) -> Sequence[Letter]:
        """Wait for letters, and take at most AT_ONCE of them, oldest first."""
        await self._filled.wait()
        taken = [self._letters.popleft() for _ in range(min(AT_ONCE, len(self._letters)))]
        if not self._letters:
            self._filled.clear()
            if self._letters:  # left just now, by another thread
                self._filled.set()
        return taken


def in_order(letters: Sequence[Letter]) -> Iterator[Sequence[Body] | Letter]:
    """Part letters into runs of objects that are there, each object once, and single deletions."""
    run: dict[str, Body] = {}
    for letter in letters:
        if letter.gone:
            if run:
                yield list(run.values())
            run = {}
            yield letter
        else:
            run[letter.body["metadata"]["uid"]] = letter.body
    if run:
        yield list(run.values())
