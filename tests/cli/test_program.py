"""The program `defib`, run as a person runs it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from defib_core.store import migrate, tokens
from support.postgres import TestPostgres

PROGRAM = Path(sys.executable).parent / "defib"
NOWHERE = "postgresql://defib:geheim@127.0.0.1:1/defib"


def defib(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def is_one_line(ran: subprocess.CompletedProcess[str]) -> str:
    """The line that a failed command said; nothing else, and no traceback."""
    assert ran.returncode != 0
    assert ran.stdout == ""
    [line] = ran.stderr.splitlines()
    assert "geheim" not in line
    return line


@pytest.fixture
def migrated(empty_database_url: str) -> str:
    ran = defib("db", "upgrade", DEFIB_DATABASE_URL=empty_database_url)
    assert ran.returncode == 0, ran.stderr
    return empty_database_url


@pytest.fixture(scope="module")
def shared(postgres_server: TestPostgres) -> Iterator[str]:
    """A database that tests only ask."""
    url = postgres_server.empty_database()
    assert defib("db", "upgrade", DEFIB_DATABASE_URL=url).returncode == 0
    yield url
    postgres_server.drop(url)


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


# help


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--help",), ["api", "operator", "db", "token", "dev"]),
        (("db", "--help"), ["upgrade"]),
        (("token", "--help"), ["create"]),
        (("token", "create", "--help"), ["--kind", "--name", "--cluster"]),
    ],
)
def test_help_names_what_there_is(arguments: tuple[str, ...], named: list[str]) -> None:
    ran = defib(*arguments)
    assert ran.returncode == 0
    assert ran.stderr == ""
    for word in named:
        assert word in ran.stdout


def test_without_a_word_it_shows_its_help() -> None:
    ran = defib()
    assert ran.returncode == 2
    assert "Usage: defib" in ran.stdout + ran.stderr


def test_a_word_that_is_no_command_is_said_to_be_none() -> None:
    ran = defib("ressurect")
    assert ran.returncode == 2
    assert "No such command 'ressurect'" in ran.stderr


# a wrong environment


@pytest.mark.parametrize(
    "command",
    [("db", "upgrade"), ("token", "create", "--kind", "admin", "--name", "x"), ("operator", "run")],
)
def test_without_a_database_it_says_which_variable_to_set(command: tuple[str, ...]) -> None:
    assert is_one_line(defib(*command)) == (
        "defib: DEFIB_DATABASE_URL is not set (or DEFIB_DATABASE_URL_FILE, naming a file that"
        " holds it)"
    )


def test_a_misspelt_variable_is_named(shared: str) -> None:
    line = is_one_line(defib("db", "upgrade", DEFIB_DATABASE_URL=shared, DEFIB_NAMESPAC="x"))
    assert line.startswith("defib: DEFIB_NAMESPAC is not a setting of Defib; known: DEFIB_API_")


@pytest.mark.parametrize(
    "command", [("db", "upgrade"), ("token", "create", "--kind", "admin", "--name", "x")]
)
def test_a_database_that_is_away_is_said_to_be(command: tuple[str, ...]) -> None:
    line = is_one_line(defib(*command, DEFIB_DATABASE_URL=NOWHERE))
    assert line.startswith("defib: cannot reach PostgreSQL: connection")
    assert "Connection refused" in line


def test_a_wrong_password_is_said_to_be(shared: str) -> None:
    url = shared.replace("only-for-tests", "geheim")
    assert url != shared
    line = is_one_line(defib("db", "upgrade", DEFIB_DATABASE_URL=url))
    assert "password authentication failed" in line


def test_a_database_without_tables_is_to_be_upgraded(empty_database_url: str) -> None:
    ran = defib(
        "token", "create", "--kind", "admin", "--name", "x", DEFIB_DATABASE_URL=empty_database_url
    )
    assert is_one_line(ran) == (
        "defib: the database's schema is missing or too old; run `defib db upgrade`"
    )


def test_a_database_of_a_later_version_is_left_alone(migrated: str) -> None:
    with psycopg.connect(migrated) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    line = is_one_line(defib("db", "upgrade", DEFIB_DATABASE_URL=migrated))
    assert line.startswith("defib: the database is at revision 9999, which this version")
    assert rows(migrated, "SELECT version_num FROM alembic_version") == [("9999",)]


# db upgrade


def test_an_upgrade_makes_everything_a_report_needs(migrated: str) -> None:
    assert rows(migrated, "SELECT namespace, name FROM system_config") == [("defib", "default")]
    assert rows(migrated, "SELECT namespace, name FROM proxmox_cluster") == [("defib", "default")]
    [(pieces,)] = rows(
        migrated, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'vm_metric'::regclass"
    )
    assert isinstance(pieces, int)
    assert pieces > 24


def test_a_second_upgrade_says_the_same(migrated: str) -> None:
    ran = defib("db", "upgrade", DEFIB_DATABASE_URL=migrated)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"The database is at revision {migrate.head()}.\n"


def test_the_url_may_come_from_a_file(shared: str, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{shared}\n")
    ran = defib("db", "upgrade", DEFIB_DATABASE_URL_FILE=str(tmp_path / "url"))
    assert ran.returncode == 0, ran.stderr


# token create


@pytest.mark.parametrize(
    ("kind", "cluster"), [("admin", ()), ("agent", ()), ("agent", ("--cluster", "default"))]
)
def test_a_token_is_printed_once_alone_and_kept_as_a_digest(
    migrated: str, kind: str, cluster: tuple[str, ...]
) -> None:
    ran = defib(
        "token", "create", "--kind", kind, "--name", "ann", *cluster, DEFIB_DATABASE_URL=migrated
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    token = ran.stdout.removesuffix("\n")
    assert token.startswith(f"defib_{kind}_")
    assert "\n" not in token
    assert rows(migrated, "SELECT sha256, kind, name FROM api_token") == [
        (tokens.digest(token), kind, "ann")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--kind", "root", "--name", "x"), "'root' is not one of"),
        (("--kind", "admin"), "Missing option '--name'"),
        (("--kind", "admin", "--name", "x", "--cluster", "default"), "not bound to a cluster"),
        (("--kind", "agent", "--name", "x", "--cluster", "other"), "no ProxmoxCluster defib/other"),
    ],
)
def test_a_token_that_cannot_be_made_is_explained(
    shared: str, arguments: tuple[str, ...], said: str
) -> None:
    ran = defib("token", "create", *arguments, DEFIB_DATABASE_URL=shared)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert rows(shared, "SELECT count(*) FROM api_token") == [(0,)]
