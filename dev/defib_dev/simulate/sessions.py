"""Sessions of the simulation's database: blocking, and kept from one scenario to the next.

Each statement is prepared once in a session and stays so, whatever is rolled back. psycopg turns
values into what PostgreSQL reads and back; its cursors, made for waiting, are left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from defib_dev.simulate.statements import Answer, Statement, as_written

FINE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


class Session:
    """One connection. Every statement is a transaction of its own, unless one was begun."""

    told: object = None
    """The moment of the scenario that it was told."""

    def __init__(self, database_url: str) -> None:
        self._connection = psycopg.connect(database_url, autocommit=True)
        self._libpq = self._connection.pgconn
        self._transformer = Transformer(self._connection)
        self._prepared: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        self._columns: dict[bytes, tuple[str, ...]] = {}

    def run(
        self, statement: Statement, given: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> Answer:
        """Execute a statement, and take all that it answers; raises psycopg's errors."""
        values, transformer = statement.values(given), self._transformer
        dumped: Any = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
        name = self._name_of(statement, transformer.types or ())
        result = _fine(self._libpq.exec_prepared(name, dumped or None, transformer.formats))
        if result.status == ExecStatus.COMMAND_OK:
            return Answer((), (), result.command_tuples or 0)
        transformer.set_pgresult(result)
        rows: Sequence[tuple[Any, ...]] = transformer.load_rows(0, result.ntuples, tuple)
        return Answer(rows, self._columns_of(name, result), len(rows))

    def ask(
        self, text: str, given: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> Sequence[tuple[Any, ...]]:
        """Execute a statement of the simulation's own, with psycopg's placeholders."""
        return self.run(as_written(text), given).tuples()

    def do(self, commands: str) -> None:
        """Execute commands without parameters, all in one."""
        _fine(self._libpq.exec_(commands.encode()))

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _name_of(self, statement: Statement, types: tuple[int, ...]) -> bytes:
        key = (statement.sql, types)
        name = self._prepared.get(key)
        if name is None:
            name = f"s{len(self._prepared)}".encode()
            _fine(self._libpq.prepare(name, statement.sql, types))
            self._prepared[key] = name
        return name

    def _columns_of(self, name: bytes, result: PGresult) -> tuple[str, ...]:
        known = self._columns.get(name)
        if known is None:
            found = (result.fname(place) or b"" for place in range(result.nfields))
            known = self._columns[name] = tuple(one.decode() for one in found)
        return known


def _fine(result: PGresult) -> PGresult:
    if result.status not in FINE:
        raise error_from_result(result)
    return result


class Sessions:
    """Those of one database that nobody holds now."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._free: list[Session] = []

    def take(self) -> Session:
        """Give one; a new one where none is free."""
        return self._free.pop() if self._free else Session(self._url)

    def give_back(self, session: Session) -> None:
        """Keep it for the next who asks: it knows its statements."""
        self._free.append(session)

    @contextmanager
    def one(self) -> Iterator[Session]:
        """Hold one for as long as the block lasts."""
        session = self.take()
        try:
            yield session
        finally:
            self.give_back(session)

    def close(self) -> None:
        """Close all that are free."""
        while self._free:
            self._free.pop().close()
