"""The schema: made once, at any time, by one process at a time, and as the tables say."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from defib_core.store import migrate
from defib_core.store.engine import sqlalchemy_url
from defib_core.store.tables import metadata
from support.postgres import TestPostgres

CLOCK = "CREATE FUNCTION defib_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'"

COLUMNS = """
SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default, is_identity
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1, 2
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 ORDER BY 1, 2
"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
TABLES = """
SELECT relname, relkind, reloptions, pg_get_partkeydef(oid), obj_description(oid, 'pg_class')
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1
"""
MADE_BY_MIGRATIONS_ALONE = ("alembic_version", "_default")


@pytest.fixture
def both(postgres_server: TestPostgres) -> Iterator[tuple[str, str]]:
    """A database made by the migrations, and one made from the tables."""
    migrated, modelled = postgres_server.empty_database(), postgres_server.empty_database()
    migrate.upgrade(migrated)
    engine = create_engine(sqlalchemy_url(modelled))
    with engine.begin() as connection:
        connection.execute(text(CLOCK))
        metadata.create_all(connection)
    engine.dispose()
    yield migrated, modelled
    postgres_server.drop(migrated)
    postgres_server.drop(modelled)


def rows(database_url: str, query: str) -> set[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        found = connection.execute(query.encode()).fetchall()
    hashable = (tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in found)
    return {row for row in hashable if not str(row[0]).endswith(MADE_BY_MIGRATIONS_ALONE)}


@pytest.mark.parametrize("query", [COLUMNS, CONSTRAINTS, INDEXES, TABLES], ids=lambda q: q[:40])
def test_tables_and_migrations_make_the_same(both: tuple[str, str], query: str) -> None:
    migrated, modelled = (rows(url, query) for url in both)
    assert migrated - modelled == set(), "only the migrations make these"
    assert modelled - migrated == set(), "only the tables name these"
    assert len(migrated) > 10


def test_alembic_finds_nothing_to_do(both: tuple[str, str]) -> None:
    engine = create_engine(sqlalchemy_url(both[0]))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": is_ours, "compare_server_default": False}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def is_ours(item: object, name: str | None, kind: str, *_: object) -> bool:
    return not (kind == "table" and str(name).endswith("_default"))


def test_an_upgrade_leads_to_the_newest_revision(empty_database_url: str) -> None:
    assert migrate.upgrade(empty_database_url) == migrate.head()


def test_a_second_upgrade_changes_nothing(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    before = rows(empty_database_url, COLUMNS)
    assert migrate.upgrade(empty_database_url) == migrate.head()
    assert rows(empty_database_url, COLUMNS) == before


def test_upgrades_at_the_same_time_wait_for_each_other(empty_database_url: str) -> None:
    together = threading.Barrier(4)

    def upgrade(_: int) -> str:
        together.wait(timeout=10)
        return migrate.upgrade(empty_database_url)

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(upgrade, range(4))) == {migrate.head()}
    assert len(rows(empty_database_url, "SELECT version_num || '' FROM alembic_version")) == 1


def test_an_upgrade_that_fails_leaves_nothing_behind(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE TABLE hold (id int)")
    with pytest.raises(Exception, match='relation "hold" already exists'):
        migrate.upgrade(empty_database_url)
    assert {row[0] for row in rows(empty_database_url, TABLES)} == {"hold"}
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("DROP TABLE hold")
    assert migrate.upgrade(empty_database_url) == migrate.head()


def test_the_lock_is_given_back(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        taken = connection.execute("SELECT pg_try_advisory_lock(%s)", [migrate.LOCK]).fetchone()
    assert taken == (True,)


def test_there_is_nothing_before_the_first_schema(both: tuple[str, str]) -> None:
    engine = create_engine(sqlalchemy_url(both[0]))
    with engine.connect() as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        with pytest.raises(NotImplementedError, match="drop the database instead"):
            command.downgrade(config, "base")
    engine.dispose()
