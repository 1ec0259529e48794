"""The servers of one run: PostgreSQL with fsync on, Valkey, the API, the reference applications.

All on loopback with generated passwords, in a folder that goes when the run ends, whatever happens.
"""

import asyncio
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis
from psycopg import sql

from defib_core.store import registry, relays, tokens
from defib_core.store.engine import make_engine
from defib_core.store.migrate import upgrade
from defib_core.store.tokens import TokenKind
from defib_dev.bench.figures import BenchError
from defib_dev.bench.machine import VOLATILE, filesystem_of
from defib_dev.components import processes, readiness, secrets_files, valkey
from defib_dev.components.ports import LOOPBACK, free_port
from defib_dev.components.postgres import PostgresServer
from defib_dev.components.processes import ProcessRecord, ProcessSpec
from defib_dev.components.valkey import ValkeyServer
from defib_dev.stack.programs import answer_missing

NAMESPACE = "defib"
ROLE = "defib"
START_SECONDS = 60.0
SHOWN_SETTINGS = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
)


@dataclass(frozen=True, slots=True)
class Database:
    """A database of the bench. Both URLs hold a password: never print them."""

    name: str
    url: str
    superuser_url: str


@dataclass(frozen=True, slots=True)
class Keys:
    """A token of each kind."""

    agent: str
    admin: str
    relay: str


@dataclass(frozen=True, slots=True)
class Served:
    """A server that listens."""

    port: int
    record: ProcessRecord

    def stop(self) -> None:
        """End it."""
        processes.stop(self.record)


@dataclass(slots=True)
class Servers:
    """Made by `running`."""

    folder: Path
    postgres: PostgresServer
    postgres_record: ProcessRecord
    valkey: ValkeyServer
    valkey_record: ProcessRecord
    stack: ExitStack
    _password: str = field(default="", init=False)

    def empty_database(self, name: str) -> Database:
        """A new database without tables."""
        self._password = self._password or secrets_files.ensure(self.folder / "password")
        url = self.postgres.ensure_database(name, owner=ROLE, password=self._password)
        return Database(name, url, self.postgres.superuser_url(name))

    def migrated_database(self, name: str) -> Database:
        """A new database with Defib's tables and defaults."""
        database = self.empty_database(name)
        upgrade(database.url)
        asyncio.run(_ensure_defaults(database.url))
        return database

    def drop(self, database: Database) -> None:
        """Drop a database, whoever is still connected to it."""
        query = sql.SQL("drop database {} with (force)").format(sql.Identifier(database.name))
        with psycopg.connect(self.postgres.superuser_url(), autocommit=True) as connection:
            connection.execute(query)

    def api(
        self, database: Database, *, with_redis: bool = True, page: Path | None = None
    ) -> Served:
        """The API, as anybody would start it; with the built page where that is given."""
        port = free_port()
        settings = {
            "DEFIB_API_HOST": LOOPBACK,
            "DEFIB_API_PORT": str(port),
            "DEFIB_NAMESPACE": NAMESPACE,
            "DEFIB_LOG_LEVEL": "warning",
            # Each VM is counted, and may report more often than VMs do.
            "DEFIB_REPORT_LIMIT_PER_MINUTE": "1000000",
            "DEFIB_DATABASE_URL_FILE": self._secret(f"{database.name}-url", database.url),
        }
        if page is not None:
            settings["DEFIB_FRONTEND_DIR"] = str(page)
        if with_redis:
            settings["DEFIB_REDIS_URL_FILE"] = self._secret("redis-url", self.valkey.url)
        command = ("-m", "defib_cli.main", "api", "serve")
        return self._serve("api", command, settings, port, "/readyz")

    def operator(self, database: Database, kubeconfig: Path) -> Served:
        """The operator, as anybody would start it; returns at once, ready or not."""
        port = free_port()
        settings = {
            "DEFIB_NAMESPACE": NAMESPACE,
            "DEFIB_LOG_FORMAT": "json",
            "DEFIB_KUBECONFIG": str(kubeconfig),
            "DEFIB_PROBE_HOST": LOOPBACK,
            "DEFIB_PROBE_PORT": str(port),
            "DEFIB_DATABASE_URL_FILE": self._secret(f"{database.name}-url", database.url),
        }
        command = (sys.executable, "-m", "defib_cli.main", "operator", "run")
        spec = ProcessSpec("operator", command, settings, dies_with_parent=True)
        record = processes.start(spec, self.folder / f"operator-{port}.log")
        self.stack.callback(processes.stop, record)
        return Served(port, record)

    def bare(self) -> Served:
        """Uvicorn with an application that reads the body and answers 200."""
        port = free_port()
        command = ("-m", "defib_dev.bench.reference", "bare", str(port))
        return self._serve("bare", command, {}, port, "/ready")

    def naive(self, database: Database, key: str) -> Served:
        """FastAPI with an ORM and a commit a report."""
        port = free_port()
        files = (self._secret("naive-url", database.url), self._secret("naive-key", key))
        command = ("-m", "defib_dev.bench.reference", "naive", str(port), *files)
        return self._serve("naive", command, {}, port, "/ready")

    def versions(self) -> Mapping[str, str]:
        """What the database and the cache say of themselves."""
        with psycopg.connect(self.postgres.superuser_url()) as connection:
            settings = {name: _show(connection, name) for name in SHOWN_SETTINGS}
        with redis.Redis.from_url(self.valkey.url) as client:
            said = client.info("server")
        # Valkey says which Redis it stands in for beside its own version.
        cache = said.get("valkey_version") or said["redis_version"]
        return {
            **{f"postgresql_{name}": value for name, value in settings.items()},
            "cache": f"{said.get('server_name', 'redis')} {cache}",
        }

    def restart_postgres(self) -> None:
        """Start PostgreSQL anew, with nothing in its memory."""
        processes.stop(self.postgres_record)
        self.postgres_record = _start_postgres(self.postgres, self.folder, self.stack)

    def _serve(
        self, name: str, command: tuple[str, ...], settings: Mapping[str, str], port: int, path: str
    ) -> Served:
        spec = ProcessSpec(name, (sys.executable, *command), settings, dies_with_parent=True)
        record = processes.start(spec, self.folder / f"{name}-{port}.log")
        self.stack.callback(processes.stop, record)
        ready = f"http://{LOOPBACK}:{port}{path}"
        readiness.wait_for_process(
            record, lambda: answer_missing(ready), deadline_seconds=START_SECONDS
        )
        return Served(port, record)

    def _secret(self, name: str, text: str) -> str:
        file = self.folder / name
        secrets_files.write(file, text)
        return str(file)


@contextmanager
def running(settings: Mapping[str, str]) -> Iterator[Servers]:
    """PostgreSQL, with these settings beyond its defaults, and Valkey, for the block."""
    _allow_many_connections()
    with _folder() as folder, ExitStack() as stack:
        postgres = PostgresServer.at(folder / "postgres", free_port())
        stack.callback(shutil.rmtree, postgres.home, ignore_errors=True)
        postgres.prepare()
        _configure(postgres, settings)
        postgres_record = _start_postgres(postgres, folder, stack)
        cache = ValkeyServer(valkey.find(), folder / "valkey", free_port())
        cache.prepare()
        cache_record = processes.start(cache.spec(dies_with_parent=True), folder / "valkey.log")
        stack.callback(processes.stop, cache_record)
        readiness.wait_for_process(cache_record, cache.missing, deadline_seconds=START_SECONDS)
        yield Servers(folder, postgres, postgres_record, cache, cache_record, stack)


def _start_postgres(postgres: PostgresServer, folder: Path, stack: ExitStack) -> ProcessRecord:
    record = processes.start(postgres.spec(dies_with_parent=True), folder / "postgres.log")
    stack.callback(processes.stop, record)
    readiness.wait_for_process(record, postgres.missing, deadline_seconds=START_SECONDS)
    return record


async def make_keys(database: Database) -> Keys:
    """Tokens for the agents and a relay of the default cluster, and one for an administrator."""
    engine = make_engine(database.url, application="bench")
    try:
        async with engine.begin() as connection:
            cluster = await tokens.cluster_id_of(connection, NAMESPACE, "default")
            agent = await tokens.create(connection, TokenKind.AGENT, "bench", cluster_id=cluster)
            return Keys(
                agent,
                await tokens.create(connection, TokenKind.ADMIN, "bench"),
                await relays.create(connection, "bench", cluster),
            )
    finally:
        await engine.dispose()


async def _ensure_defaults(url: str) -> None:
    engine = make_engine(url, application="bench")
    try:
        async with engine.begin() as connection:
            await registry.ensure_defaults(connection, NAMESPACE)
    finally:
        await engine.dispose()


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder on a real disk that other accounts can pass through: PostgreSQL is not run by root.

    Where all temporary folders are in memory, fsync would cost nothing and every figure would lie.
    """
    places = [Path(tempfile.gettempdir()), Path("/var/tmp")]  # noqa: S108 - mkdtemp is safe there
    real = [one for one in places if one.exists() and filesystem_of(one) not in VOLATILE]
    if not real:
        raise BenchError(
            f"{' and '.join(str(one) for one in places)} are in memory, where a commit costs "
            "nothing. Name a folder on a disk: TMPDIR=/some/folder defib dev bench"
        )
    folder = Path(tempfile.mkdtemp(prefix="defib-bench-", dir=real[0]))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _configure(postgres: PostgresServer, settings: Mapping[str, str]) -> None:
    lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
    with (postgres.data / "postgresql.conf").open("a") as stream:
        stream.write(lines)


def _show(connection: psycopg.Connection, name: str) -> str:
    row = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
    return "" if row is None else str(row[0])


def _allow_many_connections() -> None:
    """Open as many files as the system lets us, which the servers inherit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
