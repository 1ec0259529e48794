"""The database as the simulation reaches it: production's store over blocking calls.

While a statement runs no virtual time passes and no other task moves, so that the same scenario
always takes the same course. Sessions are told the virtual time before their first statement of
each moment. The gate closes when the database is away or the process that holds it has died.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import TextClause
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_dev.simulate.sessions import Session, Sessions
from defib_dev.simulate.statements import Answer, as_written, compiled
from defib_dev.simulate.virtual_time import Timeline


class DatabaseIsAway(psycopg.OperationalError):
    """The scenario took the database away, or this process is dead."""


class Gate:
    """The way to the database, for one process of the scenario."""

    def __init__(self, timeline: Timeline, watch: Callable[[str], None]) -> None:
        self._timeline = timeline
        self._watch = watch
        self.is_open = True
        self.is_up: Callable[[], bool] = lambda: True

    def admit(self, session: Session, statement: str) -> None:
        """Let a statement through, after telling the session the time; raises DatabaseIsAway."""
        self.check()
        self._watch(statement)
        moment = (self._timeline.elapsed, self._timeline.database_ahead)
        if session.told != moment:
            words = self._timeline.settings().items()
            session.do("; ".join(f"SET {name} = '{value}'" for name, value in words))
            session.told = moment

    @property
    def is_usable(self) -> bool:
        """Whether statements get through."""
        return self.is_open and self.is_up()

    def check(self) -> None:
        """Raise DatabaseIsAway where it is."""
        if not self.is_usable:
            raise DatabaseIsAway("connection to server failed: Connection refused")


class _Connection:
    """A transaction, with what the store uses of SQLAlchemy's connection."""

    def __init__(self, session: Session, gate: Gate) -> None:
        self._session = session
        self._gate = gate
        self._begun_at: object = None
        """The moment that the session was told outside of the transaction."""

    async def execute(
        self, statement: TextClause, parameters: Mapping[str, Any] | None = None
    ) -> Answer:
        """Execute at once. Raises what SQLAlchemy would."""
        known = compiled(statement)
        try:
            self._gate.admit(self._session, known.text)
            if self._begun_at is None:
                self._session.do("BEGIN")
                self._begun_at = self._session.told
            return self._session.run(known, parameters)
        except psycopg.Error as error:
            raise DBAPIError.instance(
                known.text, parameters, error, psycopg.Error, dialect=None
            ) from error

    def end(self, *, commits: bool) -> None:
        """End the transaction. What was told within one that is rolled back is forgotten too."""
        if self._begun_at is None:
            return
        self._session.do("COMMIT" if commits else "ROLLBACK")
        if self._session.told != self._begun_at and not commits:
            self._session.told = None


class _Engine:
    """The engine of one process of the scenario, with what the store uses of SQLAlchemy's."""

    def __init__(self, sessions: Sessions, gate: Gate) -> None:
        self._sessions = sessions
        self._gate = gate

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[_Connection]:
        """Give a transaction, committed unless the block raises."""
        with self._sessions.one() as session:
            connection = _Connection(session, self._gate)
            try:
                yield connection
            except BaseException:
                connection.end(commits=False)
                raise
            connection.end(commits=True)
        await _let_others()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[_Connection]:
        """Give a transaction that is never committed."""
        with self._sessions.one() as session:
            connection = _Connection(session, self._gate)
            try:
                yield connection
            finally:
                connection.end(commits=False)
        await _let_others()


async def _let_others() -> None:
    """Let others go on, as they could while a connection is given back."""
    await asyncio.sleep(0)


def blocking_engine(sessions: Sessions, gate: Gate) -> AsyncEngine:
    """Make the engine of one process of the scenario."""
    return cast("AsyncEngine", _Engine(sessions, gate))


class HotConnection:
    """Stands in for the hot path's connection: every statement is a transaction."""

    def __init__(self, sessions: Sessions, gate: Gate) -> None:
        self._sessions = sessions
        self._session = sessions.take()
        self._gate = gate

    async def execute(
        self,
        statement: str,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        prepare: bool | None = None,  # noqa: ARG002 - psycopg's; all are
    ) -> "_Rows":
        """Execute at once."""
        return _Rows(self.run(statement, parameters))

    def run(
        self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> Answer:
        """Execute without anything to await."""
        self._gate.admit(self._session, statement)
        return self._session.run(as_written(statement), parameters)

    def as_async(self) -> psycopg.AsyncConnection[TupleRow]:
        """Give it the type that production asks for; it has what is used of it."""
        return cast("psycopg.AsyncConnection[TupleRow]", self)

    def close(self) -> None:
        """Let go of it."""
        self._sessions.give_back(self._session)


class _Rows:
    """A cursor to be awaited."""

    def __init__(self, answer: Answer) -> None:
        self._rows = iter(answer.tuples())

    async def fetchall(self) -> list[TupleRow]:
        """Give all rows that are left."""
        return list(self._rows)

    async def fetchone(self) -> TupleRow | None:
        """Give the next row."""
        return next(self._rows, None)
