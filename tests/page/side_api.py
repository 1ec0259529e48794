"""An API with the page on a database of its own: for fleets that the stack does not have."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from defib_core.store.tokens import TokenKind
from defib_dev.bench import fleet
from defib_dev.components import dashboard, node, processes, readiness
from defib_dev.components.ports import LOOPBACK, free_port
from defib_dev.components.processes import ProcessSpec
from defib_dev.stack.programs import answer_missing
from support.folders import server_folder
from support.postgres import TestPostgres
from support.running_api import new_token

UNTOUCHED = timedelta(hours=1)
"""Heartbeats this far ahead: nobody reports here, and nothing may seem old meanwhile."""


@dataclass(frozen=True, slots=True)
class SideApi:
    """Where it is, and who may ask it."""

    url: str
    token: str
    database_url: str

    def sql(self, query: str) -> None:
        """Run a statement past the API."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(query.encode())


def _filled(postgres: TestPostgres, vms: int) -> tuple[str, str]:
    """A database with so many VMs, and a token for it."""
    database_url = postgres.migrated_database()
    token = asyncio.run(new_token(database_url, TokenKind.ADMIN, "page"))
    if vms:
        name = database_url.rpartition("/")[2]
        fleet.fill(postgres.server.superuser_url(name), vms, ahead=UNTOUCHED)
    return database_url, token


@contextmanager
def side_api(
    postgres: TestPostgres,
    vms: int,
    *,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[SideApi]:
    """Serve a fleet of this size; `settings` are more variables of the API's."""
    page = dashboard.of_checkout()
    assert page is not None
    page.build(node.find(), print)
    # Playwright keeps a loop running in this thread.
    with ThreadPoolExecutor(1) as aside:
        database_url, token = aside.submit(_filled, postgres, vms).result()
    port = port or free_port()
    spec = ProcessSpec(
        "api",
        (sys.executable, "-m", "defib_cli.main", "api", "serve"),
        {
            "DEFIB_API_HOST": LOOPBACK,
            "DEFIB_API_PORT": str(port),
            "DEFIB_NAMESPACE": "defib",
            "DEFIB_LOG_LEVEL": "warning",
            "DEFIB_DATABASE_URL": database_url,
            "DEFIB_FRONTEND_DIR": str(page.built),
            **(settings or {}),
        },
        dies_with_parent=True,
    )
    with server_folder("side-api") as folder:
        record = processes.start(spec, folder / "api.log")
        try:
            ready = f"http://{LOOPBACK}:{port}/readyz"
            readiness.wait_for_process(record, lambda: answer_missing(ready), deadline_seconds=60)
            yield SideApi(f"http://{LOOPBACK}:{port}", token, database_url)
        finally:
            processes.stop(record)
            postgres.drop(database_url)
