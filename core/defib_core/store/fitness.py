"""Whether a database is fit to work on: a schema that is new enough, a session that is one's own.

A pooler that gives each transaction another of its connections (PgBouncer's transaction and
statement modes) breaks prepared statements, settings and locks of a session, now and then and hard
to see. So it is found out at the start, and refused in one line.
"""

from functools import cache

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from defib_core.store.engine import CONNECT_SECONDS, UrlNow, hot_connection
from defib_core.store.migrations_folder import VERSIONS

LOOKS = 3
PID = "SELECT pg_backend_pid()"
REVISION = "SELECT version_num FROM alembic_version"
NO_SCHEMA = "the database has no schema yet; run `defib db upgrade`"
SHARED = (
    "connections are shared transaction by transaction: something like PgBouncer with"
    " pool_mode=transaction stands before PostgreSQL. Defib needs pool_mode=session, or PostgreSQL"
    " itself"
)


class UnfitDatabase(psycopg.OperationalError):
    """The database is there, and not to be worked on; the text says why, and what to do."""


@cache
def needed_revision() -> str:
    """Say which revision this version of Defib needs: that of its newest migration."""
    return max(file.name[:4] for file in VERSIONS.glob("[0-9][0-9][0-9][0-9]_*.py"))


async def fit_connection(
    database_url: str | UrlNow, *, application: str
) -> AsyncConnection[TupleRow]:
    """Open the connection of the hot path, where it is fit; raises UnfitDatabase."""
    connection = await hot_connection(database_url, application=application)
    try:
        await _check_revision(connection)
        async with await hot_connection(database_url, application=application) as other:
            await _check_own(connection, other)
    except BaseException:
        await connection.close()
        raise
    return connection


async def check(database_url: str | UrlNow, *, application: str) -> None:
    """Raise UnfitDatabase where it is not fit, and what the database raises."""
    async with await fit_connection(database_url, application=application):
        pass


def check_own(database_url: str) -> None:
    """Raise UnfitDatabase where sessions are shared; for who has no loop to wait in."""
    with (
        psycopg.connect(database_url, autocommit=True, connect_timeout=CONNECT_SECONDS) as one,
        psycopg.connect(database_url, autocommit=True, connect_timeout=CONNECT_SECONDS) as other,
    ):
        for _ in range(LOOKS):
            pids = [_pid(each.execute(PID).fetchone()) for each in (one, other, one)]
            _check_pids(*pids)


async def _check_revision(connection: AsyncConnection[TupleRow]) -> None:
    try:
        cursor = await connection.execute(REVISION)
    except psycopg.errors.UndefinedTable as error:
        raise UnfitDatabase(NO_SCHEMA) from error
    row = await cursor.fetchone()
    if row is None:
        raise UnfitDatabase(NO_SCHEMA)
    found, needed = str(row[0]), needed_revision()
    if found < needed:
        raise UnfitDatabase(
            f"the database's schema is at revision {found}, and this version of Defib needs"
            f" {needed}; run `defib db upgrade`"
        )


async def _check_own(
    connection: AsyncConnection[TupleRow], other: AsyncConnection[TupleRow]
) -> None:
    """Have two sessions say which of the server's processes serves them: never the same one."""
    for _ in range(LOOKS):
        pids = []
        for each in (connection, other, connection):
            cursor = await each.execute(PID)
            pids.append(_pid(await cursor.fetchone()))
        _check_pids(*pids)


def _check_pids(first: int, other: int, again: int) -> None:
    if first == other or first != again:
        raise UnfitDatabase(SHARED)


def _pid(row: TupleRow | None) -> int:
    assert row is not None
    return int(row[0])
