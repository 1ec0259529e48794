"""Each migration leaves room for replicas of the version before: what they read and write stays.

They run on while and after the schema moves, and again after a rollback. Judged from the schema
itself, one revision after the other.
"""

from itertools import pairwise

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from defib_core.store import migrate
from defib_core.store.engine import sqlalchemy_url

COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable = 'YES',
    column_default IS NOT NULL OR is_identity = 'YES'
FROM information_schema.columns WHERE table_schema = 'public'
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype IN ('c', 'f', 'u', 'x')
"""
UNIQUE_INDEXES = """
SELECT tablename, indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND indexdef LIKE 'CREATE UNIQUE%'
"""
FUNCTIONS = """
SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'
FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
"""

Schema = dict[str, set[tuple[object, ...]]]


def revisions() -> list[str]:
    """All revisions, oldest first."""
    script = ScriptDirectory.from_config(migrate._config())
    return [one.revision for one in reversed(list(script.walk_revisions()))]


def schema_of(url: str) -> Schema:
    with psycopg.connect(url) as connection:
        return {
            name: {tuple(row) for row in connection.execute(query.encode())}
            for name, query in (
                ("columns", COLUMNS),
                ("constraints", CONSTRAINTS),
                ("unique", UNIQUE_INDEXES),
                ("functions", FUNCTIONS),
            )
        }


def upgrade_to(url: str, revision: str) -> Schema:
    engine = create_engine(sqlalchemy_url(url))
    with engine.connect() as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
    engine.dispose()
    return schema_of(url)


def harm(before: Schema, after: Schema) -> list[str]:
    """What a writer of the version before would stumble over."""
    tables = {row[0] for row in before["columns"]}
    had = {(row[0], row[1]): row for row in before["columns"]}
    has = {(row[0], row[1]): row for row in after["columns"]}
    found = [f"{table}.{column} is gone" for table, column in had if (table, column) not in has]
    for (table, column), row in has.items():
        old = had.get((table, column))
        nullable, with_default = bool(row[3]), bool(row[4])
        if old is None and table in tables and not (nullable or with_default):
            found.append(f"{table}.{column} is new, and has to be given")
        if old is not None and old[2] != row[2]:
            found.append(f"{table}.{column} has another type")
        if old is not None and old[3] and not nullable:
            found.append(f"{table}.{column} may no longer be null")
        if old is not None and old[4] and not with_default:
            found.append(f"{table}.{column} has no default any more")
    for kind in ("constraints", "unique"):
        for table, name, definition in after[kind] - before[kind]:
            if table in tables and _is_about(str(definition), str(table), before):
                found.append(f"{table} is held to something new: {name}")
    gone = before["functions"] - after["functions"]
    return found + [f"function {name} is gone" for (name,) in gone]


def _is_about(definition: str, table: str, before: Schema) -> bool:
    """Whether it may refuse a row of columns that were there before."""
    new = definition.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return any(str(row[1]) in new for row in before["columns"] if row[0] == table)


@pytest.fixture
def steps(empty_database_url: str) -> list[tuple[str, Schema]]:
    """The schema after each revision."""
    return [(one, upgrade_to(empty_database_url, one)) for one in revisions()]


def test_no_revision_takes_anything_from_the_version_before(
    steps: list[tuple[str, Schema]],
) -> None:
    told = {revision: harm(before, after) for (_, before), (revision, after) in pairwise(steps)}
    assert {revision: found for revision, found in told.items() if found} == {}
    assert len(told) >= 6


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("ALTER TABLE vm DROP COLUMN agent_version", "vm.agent_version is gone"),
        ("ALTER TABLE vm RENAME COLUMN node TO place", "vm.node is gone"),
        ("ALTER TABLE vm ADD COLUMN rack text NOT NULL", "vm.rack is new, and has to be given"),
        ("ALTER TABLE vm ALTER COLUMN node SET NOT NULL", "vm.node may no longer be null"),
        (
            "ALTER TABLE vm ALTER COLUMN spec_hostname TYPE varchar(9)",
            "vm.spec_hostname has another type",
        ),
        ("ALTER TABLE vm ALTER COLUMN labels DROP DEFAULT", "vm.labels has no default any more"),
        (
            "ALTER TABLE vm ADD CONSTRAINT short CHECK (length(hostname) < 9)",
            "vm is held to something new: short",
        ),
        ("CREATE UNIQUE INDEX one_name ON vm (hostname)", "vm is held to something new: one_name"),
        ("DROP TABLE fleet_change", "fleet_change.vm_id is gone"),
    ],
    ids=str,
)
def test_what_would_harm_is_found(database_url: str, change: str, says: str) -> None:
    before = schema_of(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute(change.encode())
    assert says in harm(before, schema_of(database_url))


def test_what_harms_nobody_is_let_pass(database_url: str) -> None:
    before = schema_of(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE vm ADD COLUMN rack text CHECK (rack <> '')")
        connection.execute("ALTER TABLE vm ADD COLUMN floor int NOT NULL DEFAULT 0")
        connection.execute("CREATE TABLE rack (id int PRIMARY KEY)")
        connection.execute("CREATE INDEX vm_rack_idx ON vm (rack)")
    assert harm(before, schema_of(database_url)) == []
