"""One real PostgreSQL for a test session, and fresh databases on it in milliseconds.

A migrated template is made once; each database is a copy of its files. fsync is off: a test that
wants to kill the server must start its own with `durable=True`.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from defib_dev.components import processes, readiness
from defib_dev.components.ports import free_port
from defib_dev.components.postgres import PostgresServer
from support.folders import server_folder

ROLE = "defib"
PASSWORD = "only-for-tests"
TEMPLATE = "defib_template"


@dataclass(slots=True)
class TestPostgres:
    """A running server. `server` gives its ports and the superuser's URL."""

    __test__ = False

    server: PostgresServer
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _migrated: bool = False

    def empty_database(self) -> str:
        """The URL of a new database without tables."""
        return self.server.ensure_database(self._next_name(), owner=ROLE, password=PASSWORD)

    def migrated_database(self) -> str:
        """The URL of a new database at the newest schema."""
        self._ensure_template()
        name = self._next_name()
        # Copying files beats logging each page where nothing is synced anyway.
        query = sql.SQL("create database {} template {} owner {} strategy file_copy").format(
            sql.Identifier(name), sql.Identifier(TEMPLATE), sql.Identifier(ROLE)
        )
        self._as_superuser(query)
        return self.server.url(ROLE, PASSWORD, name)

    def drop(self, url: str) -> None:
        """Drop the database, whoever is still connected to it."""
        name = sql.Identifier(url.rpartition("/")[2])
        self._as_superuser(sql.SQL("drop database if exists {} with (force)").format(name))

    def _ensure_template(self) -> None:
        if self._migrated:
            return
        from defib_core.store.migrate import upgrade  # noqa: PLC0415 - only when asked for

        upgrade(self.server.ensure_database(TEMPLATE, owner=ROLE, password=PASSWORD))
        self._migrated = True

    def _as_superuser(self, query: sql.Composed) -> None:
        with psycopg.connect(self.server.superuser_url(), autocommit=True) as connection:
            connection.execute(query)

    def _next_name(self) -> str:
        return f"defib_test_{next(self._numbers)}"


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[TestPostgres]:
    """A server for as long as the block lasts; it dies with the test run, whatever happens."""
    with server_folder("postgres") as folder:
        server = PostgresServer.at(folder / "postgres", free_port(), durable=durable)
        server.prepare()
        record = processes.start(server.spec(dies_with_parent=True), folder / "postgres.log")
        try:
            readiness.wait_for_process(record, server.missing, deadline_seconds=30)
            yield TestPostgres(server)
        finally:
            processes.stop(record)
