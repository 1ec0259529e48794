"""Secrets are changed while the processes run."""

from pathlib import Path

import psycopg
from psycopg import sql

from defib_core.config.settings import ApiSettings
from defib_core.store.clock import database_now
from defib_core.store.engine import hot_connection, make_engine
from support.postgres import TestPostgres


def passwords(server: TestPostgres, role: str, password: str) -> None:
    """Make a role, or give it another password."""
    with psycopg.connect(server.server.superuser_url(), autocommit=True) as connection:
        exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
        verb = "ALTER" if exists else "CREATE"
        query = sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}").format(
            sql.Identifier(role), sql.Literal(password)
        )
        connection.execute(query)


async def test_a_new_password_of_the_database_is_read_from_its_file(
    postgres_server: TestPostgres, database_url: str, tmp_path: Path
) -> None:
    name, role = database_url.rpartition("/")[2], "defib_rotated"
    passwords(postgres_server, role, "first")
    file = tmp_path / "url"
    file.write_text(postgres_server.server.url(role, "first", name))
    settings = ApiSettings.from_environment({"DEFIB_DATABASE_URL_FILE": str(file)})
    engine = make_engine(settings.url_now, application="tests")
    async with engine.connect() as connection:
        await database_now(connection)
    passwords(postgres_server, role, "second")
    file.write_text(postgres_server.server.url(role, "second", name) + "\n")
    await engine.dispose()
    async with engine.connect() as connection:
        await database_now(connection)
    hot = await hot_connection(settings.url_now, application="tests")
    await hot.close()
    file.unlink()
    assert settings.url_now().split(":")[2].startswith("first"), "away: as at the start"
    await engine.dispose()
