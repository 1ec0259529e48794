"""A PostgreSQL for simulations: migrated once, its clock replaced, emptied between scenarios."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from defib_core.store.migrate import upgrade
from defib_dev.components import processes, readiness
from defib_dev.components.ports import free_port
from defib_dev.components.postgres import PostgresServer
from defib_dev.simulate.sessions import Session, Sessions

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


class SimulatedDatabase:
    """A migrated database whose clock a scenario moves."""

    def __init__(self, url: str) -> None:
        self.sessions = Sessions(url)
        self.url = url
        self._having_rows = ""
        self._filled: list[str] = []
        """The tables that had rows when it was prepared."""

    def prepare(self) -> None:
        """Bring it to this version's schema, and replace its clock."""
        upgrade(self.url)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(REPLACEMENTS)
            for setting in QUICK:
                statement = sql.SQL("ALTER DATABASE {} SET " + setting)
                connection.execute(statement.format(sql.Identifier(NAME)))
            tables = [str(name) for (name,) in connection.execute(TABLES, (list(NEVER_EMPTIED),))]
            for table in tables:
                rows = sql.SQL("CREATE TABLE pristine.{0} AS TABLE public.{0}")
                if connection.execute(rows.format(sql.Identifier(table))).rowcount > 0:
                    self._filled.append(table)
        self._having_rows = _having_rows(tables)

    def empty(self) -> None:
        """Make it as it was when it was prepared, in a way that leaves prepared plans valid.

        Truncating would be less to write, but then every plan of every session is made anew.
        """
        with self.sessions.one() as session:
            session.do("BEGIN; SET LOCAL session_replication_role = replica")
            try:
                self._empty(session)
            except BaseException:
                session.do("ROLLBACK")
                raise
            session.do("COMMIT")

    def _empty(self, session: Session) -> None:
        """Delete what there is, whatever refers to it, and fill some tables again."""
        for (table,) in session.ask(self._having_rows):
            session.ask(_of(table, "DELETE FROM public.{}"))
        for table in self._filled:
            session.ask(_of(table, "INSERT INTO public.{0} TABLE pristine.{0}"))
        session.ask(COUNT_FROM_ONE)


def _of(table: str, statement: LiteralString) -> str:
    return sql.SQL(statement).format(sql.Identifier(table)).as_string()


def _having_rows(tables: list[str]) -> str:
    """Ask which of these tables have rows."""
    one = sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM public.{})")
    ones = [one.format(sql.Literal(table), sql.Identifier(table)) for table in tables]
    return sql.SQL(" UNION ALL ").join(ones).as_string()


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
            database.sessions.close()
        finally:
            processes.stop(record)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(server.home, ignore_errors=True)
