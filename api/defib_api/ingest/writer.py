"""The one writer of a process: takes what has gathered, stores it in one commit, then answers.

It owns one connection and proves on it that it stores. While the database is away it refuses at
once instead of letting senders wait, and goes on trying to connect. It decides nothing about VMs.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from defib_api.ingest.backlog import (
    Backlog,
    BacklogFull,
    Outcome,
    Part,
    Queued,
    Together,
    TooManyOfOneVM,
    Waiting,
)
from defib_api.ingest.commits import Commits
from defib_api.ingest.prover import Prover
from defib_core.store import heartbeats
from defib_core.store.failures import DATA_ERRORS, DATABASE_ERRORS, explain
from defib_core.store.heartbeats import MAX_BATCH, Heartbeat

log = structlog.get_logger(__name__)

T = TypeVar("T")
Connection = AsyncConnection[TupleRow]
STATEMENT_DEADLINE = 8.0
"""Longer than the server's own statement timeout: it is for a server that answers nothing."""
BACK_OFF_FIRST, BACK_OFF_MOST = 0.1, 2.0


class DatabaseAway(Exception):
    """Nothing can be stored now; the text says why."""


class NoAnswer(DatabaseAway):
    """PostgreSQL took the statement and fell silent."""


FAILURES = (*DATABASE_ERRORS, OSError, DatabaseAway)


@dataclass(frozen=True, slots=True)
class Away:
    """Since when nothing can be stored, and why."""

    since: datetime
    why: str


class Writer:
    """Stores reports through one connection; `run` must be running for `store` to answer."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        prover: Prover,
        backlog: Backlog,
        commits: Commits | None = None,
    ) -> None:
        self._connect = connect
        self._prover = prover
        self._backlog = backlog
        self._commits = Commits() if commits is None else commits
        self._connection: Connection | None = None
        self._away: Away | None = Away(datetime.now(UTC), "not connected yet")
        self._wake = asyncio.Event()
        self._stopping = False
        self._abandoned: set[asyncio.Task[None]] = set()

    @property
    def away(self) -> Away | None:
        """Since when nothing can be stored; None while all is well."""
        return self._away

    @property
    def waiting(self) -> int:
        """How many reports wait for the next batch."""
        return len(self._backlog)

    async def store(self, heartbeat: Heartbeat) -> Outcome:
        """Store a report and return when it is committed, or is known not to be.

        Raises DatabaseAway, BacklogFull or TooManyOfOneVM where it was not even queued.
        """
        if self._away is not None:
            raise DatabaseAway(self._away.why)
        waiting = Waiting(heartbeat, asyncio.get_running_loop().create_future())
        self._backlog.add(waiting)
        self._wake.set()
        return await waiting.outcome

    async def store_together(self, reports: Sequence[Heartbeat]) -> Sequence[Outcome]:
        """Store reports that came together; return what became of each, in their order.

        Raises DatabaseAway or BacklogFull where not even the first was queued.
        """
        if self._away is not None:
            raise DatabaseAway(self._away.why)
        if not self._backlog.has_room(len(reports)):
            raise BacklogFull
        if not reports:
            return ()
        together = Together(len(reports), asyncio.get_running_loop().create_future())
        for index, heartbeat in enumerate(reports):
            try:
                self._backlog.add(Part(heartbeat, together, index))
            except TooManyOfOneVM:
                together.settle(index, Outcome.TOO_MANY)
        self._wake.set()
        await together.done
        return [outcome for outcome in together.outcomes if outcome is not None]

    async def run(self) -> None:
        """Connect, store and prove until stopped, through every loss of the database."""
        back_off = BACK_OFF_FIRST
        while not self._stopping:
            try:
                await self._open()
                back_off = BACK_OFF_FIRST
                await self._work()
            except FAILURES as error:
                await self._lose(explain(error))
                self._wake.clear()
                if not self._stopping:
                    await self._pause(back_off)
                back_off = min(back_off * 2, BACK_OFF_MOST)
        await self._close("the API is shutting down")

    def stop(self) -> None:
        """Ask `run` to store what is waiting, and then to end."""
        self._stopping = True
        self._wake.set()

    async def _open(self) -> None:
        self._connection = await self._connect()
        # Proven before the first report is taken, so that a gap is written before it is hidden.
        await self._prove()
        if self._away is not None:
            log.info("ingest.ready", away_since=self._away.since.isoformat(), why=self._away.why)
        self._away = None

    async def _work(self) -> None:
        while self._backlog or not self._stopping:
            self._wake.clear()
            if self._prover.due_in() <= 0:
                await self._prove()
            if self._backlog:
                await self._store_batch(self._backlog.take(MAX_BATCH))
            elif not self._stopping:
                await self._pause(self._prover.due_in())

    async def _pause(self, seconds: float) -> None:
        """Wait for a report, for `stop`, or for the time to pass."""
        handle = asyncio.get_running_loop().call_later(max(seconds, 0), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            handle.cancel()

    async def _prove(self) -> None:
        if await self._in_time(self._prover.prove(self._open_connection())):
            log.warning("ingest.clock_jumped", note="written down as a gap; nothing is reset in it")

    async def _store_batch(self, batch: Sequence[Queued]) -> None:
        """Store a batch; on a lost connection once more on a new one, then give it up."""
        try:
            try:
                await self._store(batch)
            except NoAnswer:
                raise
            except FAILURES as error:
                log.warning("ingest.batch_failed", error=explain(error), reports=len(batch))
                await self._discard()
                self._connection = await self._connect()
                await self._store([one for one in batch if not one.settled])
        except BaseException:
            _settle(batch, Outcome.AWAY)
            raise

    async def _store(self, batch: Sequence[Queued]) -> None:
        """Store a batch, by halves where a value in it is refused: one bad row harms no other."""
        rows = [one.heartbeat for one in batch]
        began = time.perf_counter()
        try:
            present = await self._in_time(heartbeats.store(self._open_connection(), rows))
        except DATA_ERRORS:
            if len(batch) == 1:
                log.exception("ingest.row_refused", vm=rows[0].vm_id)
                _settle(batch, Outcome.REFUSED)
                return
            middle = len(batch) // 2
            await self._store(batch[:middle])
            await self._store(batch[middle:])
            return
        self._commits.note(len(batch), time.perf_counter() - began)
        for one in batch:
            one.settle(Outcome.STORED if one.heartbeat.vm_id in present else Outcome.MISSING)

    async def _in_time(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a statement; raise NoAnswer, and give its connection up, where none comes."""
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=STATEMENT_DEADLINE)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if done:
            return task.result()
        connection, self._connection = self._open_connection(), None
        # Cancelling asks the server, which may not answer that either: nobody waits for it.
        burial = asyncio.create_task(_bury(task, connection))
        self._abandoned.add(burial)
        burial.add_done_callback(self._abandoned.discard)
        raise NoAnswer(f"PostgreSQL did not answer within {STATEMENT_DEADLINE:.0f} s")

    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise DatabaseAway("not connected")
        return self._connection

    async def _lose(self, why: str) -> None:
        """Refuse what waits, and what comes, until there is a connection again."""
        if self._away is None:
            log.error("ingest.database_away", error=why, refused=len(self._backlog))
        since = datetime.now(UTC) if self._away is None else self._away.since
        self._away = Away(since, why)
        _settle(self._backlog.drain(), Outcome.AWAY)
        await self._discard()

    async def _close(self, why: str) -> None:
        self._away = Away(datetime.now(UTC), why)
        _settle(self._backlog.drain(), Outcome.AWAY)
        await self._discard()

    async def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _settle(batch: Sequence[Queued], outcome: Outcome) -> None:
    for one in batch:
        one.settle(outcome)


async def _bury(task: asyncio.Task[Any], connection: Connection) -> None:
    task.cancel()
    await asyncio.wait({task})
    await connection.close()
