"""Fixtures every suite may ask for: real PostgreSQL, Valkey and Kubernetes API servers.

Each server starts once per test session, on the first test that asks for it. A part that is not on
this machine fails the test with the command that gets it; nothing is skipped.
"""

from collections.abc import Iterator

import pytest
import redis

from defib_dev.components.kubectl import Kubectl
from defib_dev.components.valkey import ValkeyServer
from support.control_plane import TestControlPlane, running_control_plane
from support.postgres import TestPostgres, running_postgres
from support.valkey import running_valkey


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[TestPostgres]:
    """A PostgreSQL server, fsync off."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def database_url(postgres_server: TestPostgres) -> Iterator[str]:
    """A fresh database at the newest schema, for one test."""
    url = postgres_server.migrated_database()
    yield url
    postgres_server.drop(url)


@pytest.fixture(scope="module")
def module_database_url(postgres_server: TestPostgres) -> Iterator[str]:
    """A fresh database at the newest schema, shared by a module's tests."""
    url = postgres_server.migrated_database()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def empty_database_url(postgres_server: TestPostgres) -> Iterator[str]:
    """A fresh database without tables, for tests of the migrations themselves."""
    url = postgres_server.empty_database()
    yield url
    postgres_server.drop(url)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """A Valkey or Redis server."""
    with running_valkey() as server:
        yield server


@pytest.fixture
def redis_url(valkey_server: ValkeyServer) -> str:
    """The server's URL, with nothing in it."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server.url


@pytest.fixture(scope="session")
def control_plane() -> Iterator[TestControlPlane]:
    """Etcd and kube-apiserver with Defib's custom resources applied."""
    with running_control_plane() as running:
        yield running


@pytest.fixture
def kubectl(control_plane: TestControlPlane) -> Kubectl:
    """Kubectl as administrator of the test session's API server."""
    return control_plane.kubectl


@pytest.fixture
def namespace(control_plane: TestControlPlane) -> str:
    """A fresh namespace for one test."""
    return control_plane.new_namespace()
