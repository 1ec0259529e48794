"""How the processes connect to PostgreSQL."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from sqlalchemy import URL, Dialect, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext import asyncio as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

Connection: TypeAlias = sa.AsyncConnection
T = TypeVar("T")

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30
IDLE_IN_TRANSACTION_SECONDS = 10
"""A process stopped in the middle of a transaction keeps its locks no longer: whoever leads next
would wait for them for ever."""
HOT_STATEMENT_SECONDS = 5
TCP_USER_TIMEOUT_MS = 10_000
KEEPALIVES: dict[str, Any] = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


IDLE = f"{IDLE_IN_TRANSACTION_SECONDS}s"
WHO = ("user", "password")
SET_UP = """
SELECT set_config('statement_timeout', %s, false), set_config('TimeZone', 'UTC', false),
    set_config('jit', 'off', false),
    set_config('idle_in_transaction_session_timeout', %s, false)
"""
"""What a session of ours is like. Said after connecting, as a pooler in between takes none of it
before. Compiling a statement (jit) takes longer than any of ours runs."""


def sqlalchemy_url(database_url: str) -> URL:
    """Turn `postgresql://...` into the URL that selects psycopg."""
    return make_url(database_url).set(drivername="postgresql+psycopg")


UrlNow: TypeAlias = Callable[[], str]
"""Says the URL as it is now: its password may change while the process runs."""


def make_engine(database_url: str | UrlNow, *, application: str, pool_size: int = 5) -> AsyncEngine:
    """Build an engine: pings before use, bounded waits, named in pg_stat_activity."""
    now = _now(database_url)
    engine = create_async_engine(
        sqlalchemy_url(now()),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_timeout=CONNECT_SECONDS,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": application,
            **KEEPALIVES,
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: DBAPIConnection, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(SET_UP, (f"{STATEMENT_SECONDS}s", IDLE))
        cursor.close()
        connection.commit()

    @event.listens_for(engine.sync_engine, "do_connect")
    def as_it_is_now(
        dialect: Dialect, _: object, __: object, parameters: dict[str, Any]
    ) -> None:  # None: SQLAlchemy connects with what is in `parameters` then
        fresh = dialect.create_connect_args(sqlalchemy_url(now()))[1]
        parameters.update({name: fresh[name] for name in WHO if name in fresh})

    return engine


def _now(database_url: str | UrlNow) -> UrlNow:
    return database_url if callable(database_url) else lambda: database_url


async def in_one_transaction(
    database_url: str, work: Callable[[Connection], Awaitable[T]], *, application: str
) -> T:
    """Do one thing on a connection of its own, as a command does."""
    engine = make_engine(database_url, application=application)
    try:
        async with engine.begin() as connection:
            return await work(connection)
    finally:
        await engine.dispose()


async def hot_connection(
    database_url: str | UrlNow, *, application: str
) -> AsyncConnection[TupleRow]:
    """Open the connection of the hot path: autocommit, so that a statement is a commit."""
    connection = await AsyncConnection.connect(
        _now(database_url)(),
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name=application,
        tcp_user_timeout=TCP_USER_TIMEOUT_MS,
        **KEEPALIVES,
    )
    try:
        await connection.execute(SET_UP, (f"{HOT_STATEMENT_SECONDS}s", IDLE))
    except BaseException:
        await connection.close()
        raise
    return connection
