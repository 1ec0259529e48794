"""Brings a database to the schema of this version, one process at a time.

Replicas of the version before work on meanwhile. A migration that waits for a lock has everybody
else wait behind it, so it gives up soon, lets them through, and tries again.
"""

import time

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

from defib_core.store import fitness
from defib_core.store.engine import sqlalchemy_url
from defib_core.store.migrations_folder import MIGRATIONS

LOCK = 0x64656669  # "defi": the advisory lock that migrations hold
LOCK_TIMEOUT_MS = 2000
"""How long a migration waits for a table, and everybody else behind it."""
TRIES, PAUSE_SECONDS = 20, 1.0
HOLDERS = text("""
SELECT DISTINCT format('%s (pid %s, %s)', coalesce(nullif(a.application_name, ''), 'a session'),
    a.pid, a.state)
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.locktype = 'relation' AND l.granted AND a.pid <> pg_backend_pid()
  AND a.xact_start < clock_timestamp() - interval '1 second'
ORDER BY 1 LIMIT 5
""")


class NewerSchema(Exception):
    """The database is at a revision of a later version of Defib."""


class LocksHeld(Exception):
    """Somebody holds a table that a migration needs; the text names who that may be."""


def upgrade(database_url: str) -> str:
    """Run the missing revisions under an advisory lock; return the revision now in force.

    Raises NewerSchema where a later version was here before, LocksHeld where somebody keeps a
    table to himself, and UnfitDatabase behind a pooler that shares sessions.
    """
    fitness.check_own(database_url)
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
        _upgrade_patiently(connection)
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()


def _upgrade_patiently(connection: Connection) -> None:
    """Run the missing revisions, each in a transaction: what is done stays for the next try."""
    config = _config()
    config.attributes["connection"] = connection
    connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT_MS}"))
    connection.commit()
    for left in reversed(range(TRIES)):
        try:
            command.upgrade(config, "head")
            connection.commit()
        except OperationalError as error:
            connection.rollback()
            if not isinstance(error.orig, (LockNotAvailable, DeadlockDetected)):
                raise
            if not left:
                raise LocksHeld(_who_holds(connection)) from error
            time.sleep(PAUSE_SECONDS)
        else:
            return


def _who_holds(connection: Connection) -> str:
    holders = ", ".join(str(name) for name in connection.execute(HOLDERS).scalars())
    connection.rollback()
    return (
        "a migration could not have a table for itself, not even for a moment: long transactions"
        f" hold it ({holders or 'they have just ended'}). End them, and run this again; what was"
        " done so far stays"
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
