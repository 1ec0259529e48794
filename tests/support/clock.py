"""Takes the database's clock into the test's hand: ages are made, never waited for.

`defib_now()` is the one clock of the database. Frozen, it reads a row that the test moves.
"""

from datetime import UTC, datetime, timedelta

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

START = datetime(2026, 3, 1, 12, tzinfo=UTC)

FREEZE = """
CREATE TABLE test_clock AS SELECT '{start}'::timestamptz AS at;
CREATE OR REPLACE FUNCTION defib_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
    AS 'SELECT at FROM test_clock';
"""
MOVE = text("UPDATE test_clock SET at = at + :by RETURNING at")


def freeze(database_url: str, at: datetime = START) -> None:
    """Stop the clock of a database, for everybody connected to it."""
    with psycopg.connect(database_url) as connection:
        connection.execute(FREEZE.format(start=at.isoformat()))


def move_for_all(database_url: str, by: timedelta) -> None:
    """Move a frozen clock for everybody."""
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE test_clock SET at = at + %s", [by])


async def move(connection: AsyncConnection, by: timedelta) -> datetime:
    """Move a frozen clock in the caller's transaction; return what it shows."""
    at: datetime = (await connection.execute(MOVE, {"by": by})).scalar_one()
    return at
