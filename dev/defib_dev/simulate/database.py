"""A PostgreSQL for simulations: migrated once, its clock replaced, emptied between scenarios."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from defib_core.store.migrate import upgrade
from defib_dev.components import processes, readiness
from defib_dev.components.ports import free_port
from defib_dev.components.postgres import PostgresServer

NAME = "defib_simulated"
ROLE = "defib"
PASSWORD = "only-for-simulations"  # noqa: S105 - a server of our own on loopback, gone in a moment
READY_WITHIN_SECONDS = 30
REPLACEMENTS = (Path(__file__).parent / "simulated.sql").read_text()
QUICK = ("plan_cache_mode = force_generic_plan", "jit = off")
"""Few rows and the same statements again and again: planning would take longer than running."""
NEVER_EMPTIED = ("alembic_version",)
TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
  AND relname <> ALL (%s)
ORDER BY relname
"""
COUNT_FROM_ONE = """
SELECT setval(oid, 1, false) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
"""
MAY_EMPTY = "GRANT SET ON PARAMETER session_replication_role TO {}"


@dataclass(frozen=True, slots=True)
class SimulatedDatabase:
    """A migrated database whose clock a scenario moves."""

    url: str

    def prepare(self) -> None:
        """Bring it to this version's schema, and replace its clock."""
        upgrade(self.url)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(REPLACEMENTS)
            for setting in QUICK:
                statement = sql.SQL("ALTER DATABASE {} SET " + setting)
                connection.execute(statement.format(sql.Identifier(NAME)))
            for table in _tables(connection):
                rows = sql.SQL("CREATE TABLE pristine.{0} AS TABLE public.{0}")
                connection.execute(rows.format(sql.Identifier(table)))

    def empty(self) -> None:
        """Make it as it was when it was prepared, in a way that leaves prepared plans valid."""
        with psycopg.connect(self.url) as connection:
            connection.execute(_emptying(_tables(connection)))


def _emptying(tables: list[str]) -> sql.Composed:
    """Delete what is in every table, whatever refers to it, and fill some again.

    Truncating would be less to write, but then every plan of every connection is made anew.
    """
    names = [sql.Identifier(table) for table in tables]
    return sql.SQL("; ").join(
        [
            sql.SQL("SET LOCAL session_replication_role = replica"),
            *(sql.SQL("DELETE FROM public.{}").format(name) for name in names),
            *(sql.SQL("INSERT INTO public.{0} TABLE pristine.{0}").format(name) for name in names),
            sql.SQL(COUNT_FROM_ONE),
        ]
    )


def _tables(connection: psycopg.Connection) -> list[str]:
    found = connection.execute(TABLES, (list(NEVER_EMPTIED),))
    return [str(name) for (name,) in found]


@contextmanager
def running_database() -> Iterator[SimulatedDatabase]:
    """Run a server for as long as the block lasts; nothing of it stays."""
    folder = Path(tempfile.mkdtemp(prefix="defib-simulate-"))
    folder.chmod(0o755)  # PostgreSQL does not run as root, and must get in
    server = PostgresServer.at(folder / "postgres", free_port(), durable=False)
    try:
        server.prepare()
        record = processes.start(server.spec(dies_with_parent=True), folder / "postgres.log")
        try:
            readiness.wait_for_process(
                record, server.missing, deadline_seconds=READY_WITHIN_SECONDS
            )
            url = server.ensure_database(NAME, owner=ROLE, password=PASSWORD)
            with psycopg.connect(server.superuser_url(), autocommit=True) as connection:
                connection.execute(sql.SQL(MAY_EMPTY).format(sql.Identifier(ROLE)))
            database = SimulatedDatabase(url)
            database.prepare()
            yield database
        finally:
            processes.stop(record)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(server.home, ignore_errors=True)
