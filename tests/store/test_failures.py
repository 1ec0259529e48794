"""What an error of PostgreSQL means: away, not migrated, refused values, or something else."""

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import failures
from defib_core.store.engine import hot_connection, make_engine
from support.stored import Stored

NOWHERE = "postgresql://defib:geheim@127.0.0.1:1/defib"


@pytest.mark.parametrize(
    "error",
    [
        errors.AdminShutdown(),
        errors.CrashShutdown(),
        errors.CannotConnectNow(),
        errors.TooManyConnections(),
        errors.ReadOnlySqlTransaction(),
        errors.ConnectionFailure(),
        psycopg.OperationalError("the connection is closed"),
        psycopg.InterfaceError("closed"),
        PoolTimeout(),
        ConnectionRefusedError(),
        TimeoutError(),
    ],
    ids=repr,
)
def test_it_is_away(error: Exception) -> None:
    assert failures.is_away(error)
    assert failures.is_away(DBAPIError("SELECT 1", {}, error))


@pytest.mark.parametrize(
    "error",
    [
        errors.UniqueViolation(),
        errors.DeadlockDetected(),
        errors.UndefinedTable(),
        errors.QueryCanceled(),
        ValueError(),
        SQLAlchemyError(),
    ],
    ids=repr,
)
def test_it_is_there_and_says_no(error: Exception) -> None:
    assert not failures.is_away(error)


async def test_a_server_that_is_not_there_is_away(stored: Stored) -> None:
    engine = make_engine(NOWHERE, application="tests")
    with pytest.raises(failures.DATABASE_ERRORS) as raised:
        async with engine.connect():
            pass
    await engine.dispose()
    assert failures.is_away(raised.value)
    with pytest.raises(failures.DATABASE_ERRORS) as raised_hot:
        await hot_connection(NOWHERE, application="tests")
    assert failures.is_away(raised_hot.value)
    for one in (raised, raised_hot):
        said = failures.explain(one.value)
        assert "Connection refused" in said
        assert "geheim" not in said
        assert "\n" not in said


async def test_a_connection_that_is_ended_is_away(engine: AsyncEngine) -> None:
    async with engine.connect() as ended, engine.connect() as other:
        pid = (await ended.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(failures.DATABASE_ERRORS) as raised:
            await ended.execute(text("SELECT 1"))
    assert failures.is_away(raised.value)


@pytest.mark.parametrize(
    "statement", ["SELECT * FROM no_such_table", "SELECT no_such_column FROM vm", "SELECT nono()"]
)
async def test_what_is_not_migrated_is_missing(stored: Stored, statement: str) -> None:
    with pytest.raises(failures.DATABASE_ERRORS) as raised:
        await stored.execute(statement)
    assert failures.is_schema_missing(raised.value)
    assert not failures.is_away(raised.value)


async def test_values_that_are_refused_are_neither_away_nor_missing(stored: Stored) -> None:
    with pytest.raises(failures.DATABASE_ERRORS) as raised:
        await stored.execute("INSERT INTO vm (vmid) VALUES (1)")
    assert isinstance(raised.value, DBAPIError)
    assert isinstance(raised.value.orig, failures.DATA_ERRORS)
    assert not failures.is_schema_missing(raised.value)
    assert failures.explain(raised.value).startswith("null value in column")


def test_an_error_without_words_is_named() -> None:
    assert failures.explain(TimeoutError()) == "TimeoutError"
    assert not failures.is_schema_missing(ValueError())
