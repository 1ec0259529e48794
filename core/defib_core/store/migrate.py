"""Brings a database to the schema of this version, one process at a time."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, text

from defib_core.store.engine import sqlalchemy_url

LOCK = 0x64656669  # "defi": the advisory lock that migrations hold
MIGRATIONS = Path(__file__).parent / "migrations"


class NewerSchema(Exception):
    """The database is at a revision of a later version of Defib."""


def upgrade(database_url: str) -> str:
    """Run the missing revisions under an advisory lock; return the revision now in force.

    Raises NewerSchema where a later version was here before.
    """
    engine = create_engine(sqlalchemy_url(database_url))
    try:
        with engine.connect() as connection:
            _run_locked(connection)
            return _current(connection)
    finally:
        engine.dispose()


def head() -> str:
    """Say which revision this version of Defib needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _current(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or ""


def _check_known(connection: Connection) -> None:
    current = _current(connection)
    connection.commit()
    if not current:
        return
    try:
        ScriptDirectory.from_config(_config()).get_revision(current)
    except CommandError as error:
        raise NewerSchema(
            f"the database is at revision {current}, which this version of Defib does not know:"
            f" a later one upgraded it. This one ends at {head()}"
        ) from error


def _run_locked(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    connection.commit()
    try:
        _check_known(connection)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    finally:
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
