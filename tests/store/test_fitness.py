"""A database that is not to be worked on is refused at the start, in one line."""

import psycopg
import pytest

from defib_core.store import fitness, migrate
from defib_core.store.engine import hot_connection, make_engine
from defib_core.store.fitness import UnfitDatabase

WANTED = (
    "current_setting('TimeZone'), current_setting('jit'),"
    " current_setting('idle_in_transaction_session_timeout')"
)


def test_what_is_needed_is_the_newest_migration() -> None:
    assert fitness.needed_revision() == migrate.head()


async def test_a_database_of_this_version_is_fit(database_url: str) -> None:
    await fitness.check(database_url, application="tests")
    fitness.check_own(database_url)


async def test_a_later_schema_is_fit_as_it_is_after_going_back(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await fitness.check(database_url, application="tests")


async def test_an_old_schema_is_refused_with_what_to_do(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0003'")
    with pytest.raises(UnfitDatabase, match=r"at revision 0003, .* needs .*defib db upgrade"):
        await fitness.check(database_url, application="tests")


async def test_no_schema_is_refused_with_what_to_do(empty_database_url: str) -> None:
    with pytest.raises(UnfitDatabase, match="no schema yet"):
        await fitness.check(empty_database_url, application="tests")


async def test_sessions_are_as_they_are_wanted_whoever_stands_in_between(
    database_url: str,
) -> None:
    wanted = ("UTC", "off", "10s")
    async with await hot_connection(database_url, application="tests") as hot:
        cursor = await hot.execute(f"SELECT {WANTED}")
        assert await cursor.fetchone() == wanted
    engine = make_engine(database_url, application="tests")
    async with engine.connect() as connection:
        rows = await connection.exec_driver_sql(
            f"SELECT {WANTED}, current_setting('statement_timeout')"
        )
        assert tuple(rows.one()) == (*wanted, "30s")
        await connection.rollback()
        again = await connection.exec_driver_sql("SELECT current_setting('TimeZone')")
        assert again.scalar_one() == "UTC", "it outlasts a transaction that is rolled back"
    await engine.dispose()
