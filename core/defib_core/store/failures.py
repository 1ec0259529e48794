"""What it means when PostgreSQL raises: gone, refusing these values, or something else.

Callers above the store catch `DATABASE_ERRORS` and ask here, instead of knowing the drivers.
"""

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

DATABASE_ERRORS = (SQLAlchemyError, psycopg.Error)
"""Everything SQLAlchemy or psycopg raise."""

DATA_ERRORS = (psycopg.DataError, psycopg.IntegrityError, UnicodeError)
"""The values of a statement are at fault, not the server."""

SCHEMA_STATES = ("42P01", "42703", "42883", "3F000")
"""No such table, column, function or schema."""

UNSTORABLE_STATES = ("22021", "22P05")
"""No such character in the encoding, or in jsonb."""

AWAY_STATES = ("08", "57P", "53300", "25006")
"""Lost connection; shutting down or starting; too many connections; read-only after a failover."""


def is_away(error: BaseException) -> bool:
    """True where the server cannot be used now and another try later may succeed."""
    if isinstance(error, (PoolTimeout, ConnectionError, TimeoutError)):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_away(error.orig))
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return error.sqlstate.startswith(AWAY_STATES)


def is_unstorable(error: BaseException) -> bool:
    """True where a text holds what no text in PostgreSQL can: NUL, or half of a character."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.DataError):
        return isinstance(cause, UnicodeEncodeError)
    return cause.sqlstate in UNSTORABLE_STATES or "NUL" in str(cause)


def is_schema_missing(error: BaseException) -> bool:
    """True where the database was not migrated to this version."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, psycopg.Error) and cause.sqlstate in SCHEMA_STATES


def explain(error: BaseException) -> str:
    """Say in one line what went wrong; holds no password: libpq never prints one."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
