"""Brings a database to the schema of this version, one process at a time."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from defib_core.store.engine import sqlalchemy_url

LOCK = 0x64656669  # "defi": the advisory lock that migrations hold
MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database_url: str) -> str:
    """Run the missing revisions under an advisory lock; return the revision now in force."""
    engine = create_engine(sqlalchemy_url(database_url))
    try:
        with engine.connect() as connection:
            _run_locked(connection)
            return MigrationContext.configure(connection).get_current_revision() or ""
    finally:
        engine.dispose()


def head() -> str:
    """Say which revision this version of Defib needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _run_locked(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    connection.commit()
    try:
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
