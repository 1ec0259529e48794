"""Proves once a second, on the connection that stores, that a heartbeat would be stored.

Also the watch on the database's clock: it is compared with this process's monotonic clock from
proof to proof.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from defib_core.store import heartbeats, liveness
from defib_core.store.clock import CLOCK_JUMP

EVERY = liveness.PROVE_EVERY.total_seconds()
JUMP = CLOCK_JUMP.total_seconds()


@dataclass(frozen=True, slots=True)
class Reading:
    """The database's clock, read between two readings of the monotonic clock; all in seconds."""

    database: float
    before: float
    after: float

    def contradicts(self, earlier: "Reading") -> bool:
        """True where the database's clock moved more than CLOCK_JUMP away from ours.

        A slow answer is no jump: the reading may lie anywhere between `before` and `after`.
        """
        moved = self.database - earlier.database
        least, most = self.before - earlier.after, self.after - earlier.before
        return moved < least - JUMP or moved > most + JUMP


class Prover:
    """Remembers the last proof of this replica."""

    def __init__(self, replica: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._replica = replica
        self._monotonic = monotonic
        self._last: Reading | None = None

    def due_in(self) -> float:
        """Seconds until the next proof; 0 or less when it is due."""
        if self._last is None:
            return 0.0
        return self._last.before + EVERY - self._monotonic()

    async def prove(self, connection: AsyncConnection[TupleRow]) -> bool:
        """Prove that a heartbeat would be stored; True where the clock was seen to jump."""
        before = self._monotonic()
        await heartbeats.store(connection, ())
        proof = await liveness.prove(connection, self._replica)
        reading = Reading(proof.now, before, self._monotonic())
        jumped = self._last is not None and reading.contradicts(self._last)
        self._last = reading
        if jumped and not proof.went_back:
            await liveness.prove(connection, self._replica, jumped=True)
        if jumped or proof.went_back:
            await liveness.forget_the_future(connection)
        return jumped
