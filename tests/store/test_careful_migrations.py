"""Migrations stand in nobody's way: nothing is rewritten or scanned under a lock, or waited for.

Replicas work on while they run. Judged from what each revision does to tables that were there.
"""

import re
import threading
import time

import psycopg
import pytest
from alembic import command
from sqlalchemy import Connection, create_engine, event

from defib_core.store import migrate
from defib_core.store.engine import sqlalchemy_url
from store.test_old_writers import revisions

SMALL = frozenset(
    {
        "notice",
        "personal_token",
        "proxmox_cluster",
        "relay",
        "session",
        "system_config",
        "vm",
        "vm_state",
    }
)
"""A row for each VM at most, or thirty days of what people were told: an index on ten thousand rows
takes milliseconds."""
FILES = """
SELECT relname, relfilenode FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
"""
TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
"""
WORDS = r"""ALTER\s+TABLE\s+(?:ONLY\s+)?(?P<altered>\w+)
    |CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?P<slowly>(?!CONCURRENTLY)\w+)\s+ON\s+(?P<indexed>\w+)
    |(?:^|;)\s*(?:UPDATE|DELETE\s+FROM)\s+(?P<filled>\w+)
    |\A\s*(?P<stops>TRUNCATE|CLUSTER|VACUUM|REINDEX|LOCK\s+TABLE|DROP\s+\w+)"""
FOUND = re.compile(WORDS, re.IGNORECASE | re.VERBOSE | re.MULTILINE)
SCANS = re.compile(
    r"SET\s+NOT\s+NULL|ADD\s+(?:CONSTRAINT|CHECK|FOREIGN)(?!.*NOT\s+VALID)|REFERENCES"
    r"|\sTYPE\s|RENAME",
    re.IGNORECASE | re.DOTALL,
)
BODY = re.compile(r"\$\$.*?\$\$", re.DOTALL)
COMMENT = re.compile(r"--[^\n]*|'(?:[^']|'')*'")


def hindrances(sql: str, before: set[str]) -> list[str]:
    """What a migration does to tables that were there, and that others wait for."""
    found: list[str] = []
    for statement in COMMENT.sub("", BODY.sub("", sql)).split(";"):
        for match in FOUND.finditer(statement):
            altered, indexed, filled = match["altered"], match["indexed"], match["filled"]
            if altered in before and SCANS.search(statement):
                found.append(f"{altered} is scanned or changed under a lock: {statement.strip()}")
            if indexed in before - SMALL:
                found.append(f"{indexed} cannot be written while an index is made: CONCURRENTLY")
            if filled in before - SMALL:
                found.append(f"{filled} is filled in one transaction; do it in parts, by the API")
            if match["stops"]:
                found.append(f"it stops others: {statement.strip()}")
    return found


def run_to(url: str, revision: str) -> tuple[list[str], dict[str, int], dict[str, int]]:
    """Upgrade by one revision; what it said to PostgreSQL, and the tables' files around it."""
    said: list[str] = []
    engine = create_engine(sqlalchemy_url(url))

    def listen(_: object, __: object, statement: str, *___: object) -> None:
        said.append(statement)

    with engine.connect() as connection:
        before = files_of(connection)
        event.listen(engine, "before_cursor_execute", listen)
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
        event.remove(engine, "before_cursor_execute", listen)
        after = files_of(connection)
    engine.dispose()
    return said, before, after


def files_of(connection: Connection) -> dict[str, int]:
    """Each table's file: another one after a rewrite."""
    rows = connection.exec_driver_sql(FILES)
    return {str(row.relname): int(row.relfilenode) for row in rows}


def test_no_migration_hinders_the_version_before(empty_database_url: str) -> None:
    told: dict[str, list[str]] = {}
    for revision in revisions():
        with psycopg.connect(empty_database_url) as connection:
            tables = {str(row[0]) for row in connection.execute(TABLES)} - {"alembic_version"}
        said, before, after = run_to(empty_database_url, revision)
        found = hindrances(";".join(said), tables)
        found += [
            f"{table} is written anew" for table, file in before.items() if after.get(table) != file
        ]
        if found:
            told[revision] = found
    assert told == {}


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("ALTER TABLE vm ALTER COLUMN node SET NOT NULL", "under a lock"),
        ("ALTER TABLE vm ADD CONSTRAINT c CHECK (vmid > 0)", "under a lock"),
        ("ALTER TABLE vm ADD COLUMN rack int REFERENCES rack", "under a lock"),
        ("ALTER TABLE vm RENAME COLUMN node TO place", "under a lock"),
        ("CREATE INDEX i ON vm_metric (at)", "CONCURRENTLY"),
        ("CREATE UNIQUE INDEX i ON hold (vm_id)", "CONCURRENTLY"),
        ("UPDATE hold SET message = ''", "in parts"),
        ("DROP TABLE fleet_change", "stops others"),
        ("LOCK TABLE vm", "stops others"),
    ],
)
def test_what_would_hinder_is_found(sql: str, says: str) -> None:
    (found,) = hindrances(sql, {"vm", "vm_metric", "hold"})
    assert says in found


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE vm ADD COLUMN rack text",
        "ALTER TABLE vm ADD CONSTRAINT c CHECK (vmid > 0) NOT VALID",
        "CREATE INDEX CONCURRENTLY i ON vm_metric (at)",
        "CREATE INDEX i ON vm (node)",
        "CREATE TABLE rack (id int REFERENCES vm)",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE hold; END $$",
    ],
)
def test_what_hinders_nobody_is_let_pass(sql: str) -> None:
    assert hindrances(sql, {"vm", "vm_metric", "hold"}) == []


@pytest.fixture
def at_the_revision_before(empty_database_url: str) -> str:
    """A database that lacks the newest revisions, among them one that changes vm_state."""
    run_to(empty_database_url, "0007")
    return empty_database_url


def test_who_holds_a_table_is_not_waited_for_at_everybodys_cost(
    at_the_revision_before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives up its place in the queue, and gets its turn once the table is free."""
    url = at_the_revision_before
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 100)
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(migrate, "TRIES", 1000)
    waited = threading.Event()
    pause = time.sleep

    def waiting(seconds: float) -> None:
        waited.set()
        pause(seconds)

    monkeypatch.setattr(time, "sleep", waiting)
    with psycopg.connect(url, application_name="a-long-report") as holder:
        holder.execute("SELECT count(*) FROM vm_state")
        upgrading = threading.Thread(target=migrate.upgrade, args=(url,))
        upgrading.start()
        assert waited.wait(60)
        with psycopg.connect(url, options="-c statement_timeout=30s") as other:
            other.execute("INSERT INTO vm_state (vm_id) SELECT id FROM vm WHERE false")
    upgrading.join(60)
    assert not upgrading.is_alive()
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert found == (migrate.head(),)


def test_who_never_lets_go_is_named(
    at_the_revision_before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 1500)
    monkeypatch.setattr(migrate, "TRIES", 1)
    with psycopg.connect(at_the_revision_before, application_name="a-long-report") as holder:
        holder.execute("SELECT count(*) FROM vm_state")
        with pytest.raises(migrate.LocksHeld, match=r"a-long-report \(pid \d+, idle in tr"):
            migrate.upgrade(at_the_revision_before)
