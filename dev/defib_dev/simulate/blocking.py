"""The database as the simulation reaches it: production's async engine over blocking calls.

While a statement runs no virtual time passes and no other task moves, so that the same scenario
always takes the same course. Sessions are told the virtual time before their first statement of
each moment. The gate closes when the database is away or the process that holds it has died.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.rows import TupleRow
from sqlalchemy import URL, make_url
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool
from sqlalchemy.util.concurrency import await_only

from defib_dev.simulate.virtual_time import Timeline

DRIVER = "simulated"
WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|TRUNCATE|CREATE|DROP|ALTER)\b", re.IGNORECASE)


@cache
def _writes(statement: str) -> bool:
    return WRITES.search(statement) is not None


class DatabaseIsAway(psycopg.OperationalError):
    """The scenario took the database away, or this process is dead."""


class Gate:
    """The way to the database, for one process of the scenario."""

    def __init__(self, timeline: Timeline, watch: Callable[[str], None]) -> None:
        self._timeline = timeline
        self._watch = watch
        self.is_open = True
        self.is_up: Callable[[], bool] = lambda: True

    def admit(self, connection: "GatedConnection", statement: str) -> None:
        """Let a statement through, after telling the session the time; raises DatabaseIsAway."""
        self.check()
        self._watch(statement)
        moment = (self._timeline.elapsed, self._timeline.database_ahead)
        if connection.told != moment:
            connection.tell(self._timeline)
            connection.told = moment

    @property
    def is_usable(self) -> bool:
        """Whether statements get through."""
        return self.is_open and self.is_up()

    def check(self) -> None:
        """Raise DatabaseIsAway where it is."""
        if not self.is_usable:
            raise DatabaseIsAway("connection to server failed: Connection refused")


class GatedConnection(psycopg.Connection[TupleRow]):
    """A connection that knows its gate, and the moment its session was told."""

    gate: Gate
    told: object = None
    has_written: bool = False

    kept: "list[GatedConnection] | None" = None
    """Where it waits between two processes."""

    def keep(self) -> None:
        """Let go of it: it waits for the next process, where it can."""
        if self.closed or self.kept is None:
            self.close()
            return
        self.rollback()
        self.kept.append(self)

    def commit(self) -> None:
        """Commit."""
        self.has_written = False
        super().commit()

    def rollback(self) -> None:
        """Roll back.

        Where nothing was written a commit is the same, and psycopg forgets all prepared statements
        at a rollback.
        """
        if self.has_written or self.info.transaction_status != TransactionStatus.INTRANS:
            self.has_written = False
            super().rollback()
        else:
            super().commit()

    def tell(self, timeline: Timeline) -> None:
        """Set the session's clock. Outside a transaction it stays set, whatever is rolled back."""
        words = (f"SET {name} = '{value}'" for name, value in timeline.settings().items())
        result = self.pgconn.exec_("; ".join(words).encode())
        assert result.status == ExecStatus.COMMAND_OK, result.error_message


class _Cursor(psycopg.Cursor[TupleRow]):
    """A cursor with what SQLAlchemy asks of an async driver's."""

    server_side = False

    async def _async_soft_close(self) -> None:
        """Nothing is held: all rows are here."""


async def _at_once() -> None:
    """What SQLAlchemy is given to await."""


_KEPT: dict[str, list[GatedConnection]] = {}
"""Connections that no process holds, by where they lead."""


def _leading_to(arguments: Mapping[str, object]) -> str:
    """Say where a connection with these arguments leads.

    Among them are objects of SQLAlchemy's, of which each engine has its own.
    """
    words = {name: one for name, one in arguments.items() if isinstance(one, str | int)}
    return repr(sorted(words.items()))


def _connect(
    *args: Any,  # noqa: ANN401 - SQLAlchemy's
    kept: list[GatedConnection],
    **arguments: Any,  # noqa: ANN401 - same
) -> GatedConnection:
    connection = GatedConnection.connect(
        *args, cursor_factory=_Cursor, prepare_threshold=0, **arguments
    )
    connection.kept = kept
    return connection


class BlockingDialect(PGDialect_psycopg):
    """psycopg's blocking connections, under SQLAlchemy's async engine."""

    is_async = True
    supports_statement_cache = True

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:  # noqa: ARG003 - SQLAlchemy's
        """Pool as for an async driver."""
        return AsyncAdaptedQueuePool

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type["BlockingDialect"]:  # noqa: ARG003 - same
        """It is one already."""
        return cls

    def connect(self, *args: Any, gate: Gate, **arguments: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's
        """Connect through a gate."""
        gate.check()
        kept = _KEPT.setdefault(_leading_to(arguments), [])
        connection = kept.pop() if kept else _connect(*args, kept=kept, **arguments)
        connection.gate, connection.told = gate, None
        return connection

    def do_close(self, dbapi_connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        """Keep it for the next process: every statement it knows would be planned anew."""
        dbapi_connection.keep()

    def do_execute(
        self,
        cursor: Any,  # noqa: ANN401 - SQLAlchemy's
        statement: str,
        parameters: Any,  # noqa: ANN401 - same
        context: object = None,  # noqa: ARG002 - same
    ) -> None:
        """Execute at once."""
        await_only(_at_once())
        cursor.connection.gate.admit(cursor.connection, statement)
        cursor.connection.has_written |= _writes(statement)
        cursor.execute(statement, parameters)


registry.impls[f"postgresql.{DRIVER}"] = lambda: BlockingDialect


def blocking_engine(database_url: str, gate: Gate) -> AsyncEngine:
    """Make the engine of one process of the scenario."""
    url = make_url(database_url).set(drivername=f"postgresql+{DRIVER}")
    return create_async_engine(url, connect_args={"gate": gate})


class HotConnection:
    """Stands in for the hot path's connection: autocommit, blocking."""

    def __init__(self, database_url: str, gate: Gate) -> None:
        self._connection = GatedConnection.connect(database_url, autocommit=True)
        self._connection.gate = gate

    async def execute(
        self,
        statement: str,
        parameters: Any = None,  # noqa: ANN401 - psycopg's
        *,
        prepare: bool | None = None,
    ) -> "_Rows":
        """Execute at once."""
        return _Rows(self.run(statement, parameters, prepare=prepare))

    def run(
        self,
        statement: str,
        parameters: Any = None,  # noqa: ANN401 - psycopg's
        *,
        prepare: bool | None = None,
    ) -> psycopg.Cursor[TupleRow]:
        """Execute without anything to await."""
        self._connection.gate.admit(self._connection, statement)
        return self._connection.execute(statement, parameters, prepare=prepare)

    def as_async(self) -> psycopg.AsyncConnection[TupleRow]:
        """Give it the type that production asks for; it has what is used of it."""
        return cast("psycopg.AsyncConnection[TupleRow]", self)

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


class _Rows:
    """A cursor to be awaited."""

    def __init__(self, cursor: psycopg.Cursor[TupleRow]) -> None:
        self._cursor = cursor

    async def fetchall(self) -> list[TupleRow]:
        """Give all rows."""
        return self._cursor.fetchall()

    async def fetchone(self) -> TupleRow | None:
        """Give the next row."""
        return self._cursor.fetchone()
