"""Production's statements as a session takes them, and what comes back, with nothing between.

SQLAlchemy's own compiler for psycopg turns each into SQL once; executing them through it would cost
more than PostgreSQL does. Rows and results have what the store uses of SQLAlchemy's, and no more.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from sqlalchemy import Dialect, TextClause
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import MultipleResultsFound, NoResultFound

PLACEHOLDER = re.compile(r"%%|%s|%\((\w+)\)s")
PER_CENT = "%%"
_DIALECT: Dialect = cast("Any", PGDialect_psycopg)()

Row = Any
"""A tuple with names, and `_mapping`."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with `$1`, and the names of what goes there; none: by place."""

    text: str
    """As it was written: by this the simulation knows it."""
    sql: bytes
    names: tuple[str, ...]
    wraps: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    """What a value is put into before it goes to the driver."""

    def values(self, given: Mapping[str, Any] | Sequence[Any] | None) -> Sequence[Any]:
        """Put what is given in the order of the places."""
        if not isinstance(given, Mapping):
            return given or ()
        values = [given[name] for name in self.names]
        for place, name in enumerate(self.names):
            if name in self.wraps:
                values[place] = self.wraps[name](values[place])
        return values


@cache
def as_written(text: str) -> Statement:
    """Read a statement with psycopg's placeholders."""
    names: dict[str, int] = {}
    by_place = 0

    def place(match: re.Match[str]) -> str:
        nonlocal by_place
        if match[0] == PER_CENT:
            return "%"
        if match[1] is None:
            by_place += 1
            return f"${by_place}"
        return f"${names.setdefault(match[1], len(names) + 1)}"

    sql = PLACEHOLDER.sub(place, text)
    return Statement(text, sql.encode(), tuple(names))


_COMPILED: dict[str, Statement] = {}


def compiled(clause: TextClause) -> Statement:
    """Compile a statement of the store's; once, however often it is made."""
    known = _COMPILED.get(clause.text)
    if known is None:
        by_sqlalchemy = clause.compile(dialect=_DIALECT)
        read = as_written(str(by_sqlalchemy))
        wraps: Any = by_sqlalchemy._bind_processors  # noqa: SLF001 - what its execution would use
        known = Statement(clause.text, read.sql, read.names, wraps)
        _COMPILED[clause.text] = known
    return known


@cache
def _row_of(names: tuple[str, ...]) -> Callable[[Sequence[Any]], Row]:
    """Make the class of rows with these columns; those without a usable name go by place."""
    make_class: Any = namedtuple  # noqa: PYI024 - the columns are known at run time only
    fields = make_class("_Fields", names, rename=True)
    members = {"__slots__": (), "_mapping": property(lambda row: row._asdict())}
    made: Any = type("Row", (fields,), members)
    make: Callable[[Sequence[Any]], Row] = made._make
    return make


class Answer:
    """What a statement brought; all of it is here."""

    def __init__(self, rows: Sequence[tuple[Any, ...]], names: tuple[str, ...], count: int) -> None:
        self._rows = rows
        self._names = names
        self.rowcount = count

    def __iter__(self) -> Iterator[Row]:
        return map(_row_of(self._names), self._rows)

    def keys(self) -> tuple[str, ...]:
        """Name the columns."""
        return self._names

    def all(self) -> list[Row]:
        """Give every row."""
        return list(self)

    def first(self) -> Row | None:
        """Give the first row, if there is one."""
        return next(iter(self), None)

    def one_or_none(self) -> Row | None:
        """Give the only row, if there is one."""
        if len(self._rows) > 1:
            raise MultipleResultsFound("several rows where one was asked for")
        return self.first()

    def one(self) -> Row:
        """Give the only row."""
        row = self.one_or_none()
        if row is None:
            raise NoResultFound("no row where one was asked for")
        return row

    def scalar_one_or_none(self) -> Any:  # noqa: ANN401 - a column of any type
        """Give the first column of the only row, if there is one."""
        row = self.one_or_none()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:  # noqa: ANN401 - a column of any type
        """Give the first column of the only row."""
        return self.one()[0]

    def tuples(self) -> Sequence[tuple[Any, ...]]:
        """Give the rows as they came."""
        return self._rows
