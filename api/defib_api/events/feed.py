"""One look at the database for all listeners: twice a second while there are any.

The numbers come from the database, so a listener may go on at another replica, or after a restart.
While the database is away nothing is told, and the listeners keep waiting.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_api.events import messages
from defib_api.events.numbering import Numbers
from defib_api.fleet.view import Reading
from defib_api.schemas.vms import Counts
from defib_core.store import changes, reads
from defib_core.store.failures import DATABASE_ERRORS, explain

log = structlog.get_logger(__name__)

EVERY_SECONDS = 0.5
RETRY_SECONDS = 1.0
LISTENERS_MOST = 500
LISTENERS_OF_ONE = 50
"""So that nobody takes all places."""
GREETED_AT_ONCE = 4
"""After an outage all come back at once, and the database has other work."""
WAITING_MOST = 64
"""Messages that one listener may have waiting; then it is too slow."""
IN_A_MESSAGE = 500
AT_ONCE_MOST = 5_000
"""More changes than that, and loading everything anew is cheaper."""
READ_AT_ONCE = 10_000
LOOK_BACK = 1_000
"""So far below the highest number the feed begins, for what is still to be seen there."""
TOO_MANY = "more changed than is told one by one; load the fleet anew"
TOO_OLD = "what changed since is no longer known here; load the fleet anew"


class Full(Exception):
    """There is no place for another listener; the text says whose places are taken."""


class Listener:
    """Who listens: the messages that wait for it. `is_lost` once there were too many."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(WAITING_MOST)
        self.is_lost = False

    def tell(self, message: bytes) -> None:
        """Queue a message."""
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.is_lost = True

    async def next(self) -> bytes:
        """Wait for a message."""
        return await self._waiting.get()


class Feed:
    """Follows the changes and tells them."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._numbers: Numbers | None = None
        self._listeners: set[Listener] = set()
        self._wanted = asyncio.Event()
        self._looking = asyncio.Lock()
        self._greeting = asyncio.Semaphore(GREETED_AT_ONCE)
        self._away = False

    async def run(self) -> None:
        """Look again and again, for as long as somebody listens."""
        while True:
            await self._wanted.wait()
            try:
                await self.look()
            except (*DATABASE_ERRORS, OSError) as error:
                if not self._away:
                    log.warning("events.database_away", error=explain(error))
                self._away = True
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._away = False
            await asyncio.sleep(EVERY_SECONDS)

    def check_room(self, name: str) -> None:
        """Raise Full where this person is not to have another listener."""
        if len(self._listeners) >= LISTENERS_MOST:
            raise Full(f"{LISTENERS_MOST} listeners are served already")
        if sum(one.name == name for one in self._listeners) >= LISTENERS_OF_ONE:
            raise Full(f"{LISTENERS_OF_ONE} listeners of {name} are served already")

    @contextmanager
    def listening(self, name: str) -> Iterator[Listener]:
        """Have a listener told what changes from now on; raises Full."""
        self.check_room(name)
        listener = Listener(name)
        self._listeners.add(listener)
        self._wanted.set()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._wanted.clear()

    async def look(self) -> int:
        """Tell what is new; return the number up to which everything has been told."""
        async with self._looking, self._reading() as connection:
            return await self._look(connection)

    async def first_words(self, last_seen: int | None) -> list[bytes]:
        """What a listener is told first: where it begins, or what it has missed."""
        async with self._greeting:
            return await self._first_words(last_seen)

    async def _first_words(self, last_seen: int | None) -> list[bytes]:
        number = await self.look()
        async with self._reading() as connection:
            counts = await _counts(connection)
            if last_seen is None:
                return [messages.snapshot(number, counts)]
            kept = await changes.kept(connection)
            if last_seen > kept.highest or (last_seen < kept.lowest - 1):
                return [messages.resync(number, TOO_OLD)]
            missed = await changes.above(connection, last_seen, (), AT_ONCE_MOST + 1)
            vm_ids = {vm_id for _, vm_id in missed.changes}
            return await _told(connection, vm_ids, last_seen, number, counts)

    async def _look(self, connection: AsyncConnection) -> int:
        numbers = self._numbers
        if numbers is None:
            return await self._begin(connection)
        if (await changes.kept(connection)).highest < numbers.done_until:
            # Another database, or an older copy of it: its numbers begin below ours.
            number = await self._begin(connection)
            self._tell([messages.resync(number, TOO_OLD)])
            return number
        before = numbers.done_until
        vm_ids = await _see(connection, numbers)
        if vm_ids and self._listeners:
            counts = await _counts(connection)
            self._tell(await _told(connection, vm_ids, before, numbers.done_until, counts))
        return numbers.done_until

    async def _begin(self, connection: AsyncConnection) -> int:
        highest = (await changes.kept(connection)).highest
        numbers = Numbers(max(0, highest - LOOK_BACK))
        seen = await changes.above(connection, numbers.done_until, (), 2 * LOOK_BACK)
        # What is missing so far below is missing for ever, or was told when it came.
        first = min((number for number, _ in seen.changes), default=highest + 1)
        numbers.done_until = first - 1
        numbers.saw(
            [number for number, _ in seen.changes], oldest=seen.oldest, next_one=seen.next_one
        )
        self._numbers = numbers
        return numbers.done_until

    def _tell(self, said: Iterable[bytes]) -> None:
        for message in said:
            for listener in self._listeners:
                listener.tell(message)


async def _see(connection: AsyncConnection, numbers: Numbers) -> set[int]:
    """Take in all that is new; return the VMs it is about."""
    vm_ids: set[int] = set()
    while True:
        seen = await changes.above(connection, numbers.done_until, numbers.ahead, READ_AT_ONCE)
        fresh = [number for number, _ in seen.changes]
        numbers.saw(fresh, oldest=seen.oldest, next_one=seen.next_one)
        vm_ids.update(vm_id for _, vm_id in seen.changes)
        if len(fresh) < READ_AT_ONCE:
            return vm_ids


async def _counts(connection: AsyncConnection) -> Counts:
    return Counts.from_states(await reads.state_counts(connection))


async def _told(
    connection: AsyncConnection, vm_ids: Collection[int], before: int, after: int, counts: Counts
) -> list[bytes]:
    """Write what changed; only the last message says that all of it was told."""
    if len(vm_ids) > AT_ONCE_MOST:
        return [messages.resync(after, TOO_MANY)]
    changed = await changes.as_they_are(connection, vm_ids)
    parts = [changed[at : at + IN_A_MESSAGE] for at in range(0, len(changed), IN_A_MESSAGE)]
    last = len(parts) - 1
    return [
        messages.change(after if position == last else before, part, counts)
        for position, part in enumerate(parts)
    ] or [messages.change(after, (), counts)]
