"""Each part starts, answers and stops, as the current user (root included)."""

import os
import ssl
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from defib_dev.components import accounts, postgres, processes, readiness, valkey
from defib_dev.components.kubectl import Kubectl
from defib_dev.components.ports import free_port
from defib_dev.components.postgres import PostgresServer
from defib_dev.components.processes import Ending, ProcessRecord
from defib_dev.components.valkey import ValkeyServer
from support.control_plane import TestControlPlane
from support.folders import server_folder
from support.postgres import TestPostgres


def start(server: PostgresServer, folder: Path) -> ProcessRecord:
    server.prepare()
    record = processes.start(server.spec(dies_with_parent=True), folder / "postgres.log")
    readiness.wait_for_process(record, server.missing, deadline_seconds=30)
    return record


def test_postgresql_keeps_its_data_over_a_stop_and_a_start() -> None:
    with server_folder("postgres") as folder:
        server = PostgresServer.at(folder / "postgres", free_port())
        record = start(server, folder)
        url = server.ensure_database("defib", owner="defib", password="secret")
        with psycopg.connect(url) as connection:
            connection.execute("create table kept as select 42 as answer")
        assert processes.stop(record) is Ending.OBEYED
        assert not processes.is_running(record)

        record = start(server, folder)
        try:
            assert server.ensure_database("defib", owner="defib", password="secret") == url
            with psycopg.connect(url) as connection:
                assert connection.execute("select answer from kept").fetchone() == (42,)
        finally:
            processes.stop(record)


def test_postgresql_of_the_wheel_runs_where_the_system_has_none() -> None:
    account = accounts.unprivileged()
    with server_folder("postgres") as folder:
        programs = postgres.reachable(postgres.find(system=False), account)
        home = accounts.private_home(folder / "postgres", account)
        server = PostgresServer(programs, home, free_port(), account)
        record = start(server, folder)
        try:
            with psycopg.connect(server.superuser_url()) as connection:
                version = connection.execute("show server_version_num").fetchone()
            assert version is not None
            assert int(version[0]) // 10_000 == programs.version >= postgres.OLDEST_VERSION
        finally:
            processes.stop(record)


def test_the_owner_of_a_database_is_no_superuser(postgres_server: TestPostgres) -> None:
    url = postgres_server.empty_database()
    with psycopg.connect(url) as connection:
        answer = connection.execute("select usesuper from pg_user where usename = current_user")
        assert answer.fetchone() == (False,)
    postgres_server.drop(url)


def test_postgresql_refuses_a_wrong_password(postgres_server: TestPostgres) -> None:
    wrong = postgres_server.server.url("postgres", "guess", "postgres")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_a_migrated_database_has_tables_and_is_nobody_elses(
    database_url: str, postgres_server: TestPostgres
) -> None:
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "select count(*) from pg_tables where schemaname = 'public'"
        ).fetchone()
        assert tables is not None
        assert tables[0] > 1
        connection.execute("create table mine ()")
        connection.commit()
    other = postgres_server.migrated_database()
    with psycopg.connect(other) as connection:
        assert connection.execute("select to_regclass('mine')").fetchone() == (None,)
    postgres_server.drop(other)


@pytest.mark.parametrize("system", [True, False])
def test_valkey_answers_only_with_the_password(system: bool) -> None:
    with server_folder("valkey") as folder:
        server = ValkeyServer(valkey.find(system=system), folder / "valkey", free_port())
        server.prepare()
        record = processes.start(server.spec(dies_with_parent=True), folder / "valkey.log")
        try:
            readiness.wait_for_process(record, server.missing, deadline_seconds=10)
            with redis.Redis.from_url(server.url) as client:
                assert client.set("key", "value")
            with (
                redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as stranger,
                pytest.raises(redis.AuthenticationError),
            ):
                stranger.get("key")
            assert "requirepass" not in " ".join(psutil.Process(record.pid).cmdline())
        finally:
            processes.stop(record)
        assert server.missing() is not None


def test_secrets_lie_in_files_that_only_the_user_can_read(
    control_plane: TestControlPlane, postgres_server: TestPostgres
) -> None:
    secrets = [
        control_plane.kubeconfig,
        postgres_server.server.home / "superuser-password",
        *(control_plane.api.home / "pki").glob("*.key"),
    ]
    assert len(secrets) > 5
    assert {oct(path.stat().st_mode & 0o777) for path in secrets} == {oct(0o600)}


def test_the_api_server_says_its_version_and_makes_namespaces(
    kubectl: Kubectl, namespace: str
) -> None:
    assert "gitVersion: v1." in kubectl.run("version", "--output=yaml")
    assert namespace in kubectl.run("get", "namespaces", "--output=name")


def test_the_api_server_lets_nobody_in_without_a_certificate(
    control_plane: TestControlPlane,
) -> None:
    authority = control_plane.api.home / "pki" / "kubernetes-ca.crt"
    trust = ssl.create_default_context(cafile=str(authority))
    with httpx.Client(verify=trust, trust_env=False) as stranger:
        for path in ("/readyz", "/api", "/version"):
            assert stranger.get(control_plane.api.url + path).status_code == 401


def test_as_root_postgresql_runs_under_another_account(postgres_server: TestPostgres) -> None:
    account = postgres_server.server.account
    if os.geteuid() == 0:
        assert account is not None
        assert account.uid != 0
        assert postgres_server.server.data.stat().st_uid == account.uid
    else:
        assert account is None
