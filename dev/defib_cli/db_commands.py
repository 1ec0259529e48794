"""`defib db`: the database's schema."""

import asyncio
import os

import typer

from defib_core.config.settings import DatabaseSettings
from defib_core.store import migrate, partitions, registry
from defib_core.store.clock import database_now
from defib_core.store.engine import Connection, in_one_transaction

app = typer.Typer(help="Bring the database to this version's schema.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Hold the commands together."""


@app.command()
def upgrade() -> None:
    """Run the missing migrations, under a lock; make the history's partitions."""
    settings = DatabaseSettings.from_environment(os.environ)
    url = settings.database_url.get_secret_value()
    revision = migrate.upgrade(url)
    asyncio.run(_prepare(url, settings.namespace))
    typer.echo(f"The database is at revision {revision}.")


async def _prepare(url: str, namespace: str) -> None:
    async def work(connection: Connection) -> None:
        await registry.ensure_defaults(connection, namespace)
        await partitions.maintain(connection, await database_now(connection))

    await in_one_transaction(url, work, application="defib-db")
