"""A world of its own for each test; API server and PostgreSQL are shared."""

import itertools
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from operator_process.agents import running_agents
from operator_process.kube_api import kube_api
from operator_process.world import World
from support.control_plane import TestControlPlane
from support.logged import Logged, logging_kept
from support.proxmox import running_simulator

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _impatient_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Production's loops, oftener: nobody here waits ten seconds for the next look."""
    monkeypatch.setattr("defib_operator.main.REGISTER_EVERY", timedelta(milliseconds=300))
    monkeypatch.setattr("defib_operator.main.COUNT_EVERY", timedelta(milliseconds=300))
    monkeypatch.setattr("defib_operator.main.SEEK_EVERY", timedelta(milliseconds=300))
    monkeypatch.setattr("defib_operator.cluster_watch.LOOK_EVERY", timedelta(milliseconds=500))
    monkeypatch.setattr("defib_operator.clusters.READ_SECRET_EVERY", timedelta(milliseconds=500))


@pytest.fixture(scope="session")
def authority_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the simulators' authority lives."""
    return tmp_path_factory.mktemp("authority")


@pytest.fixture
async def namespace(control_plane: TestControlPlane) -> str:
    """A fresh namespace, without the program kubectl: there are many tests here."""
    name = f"operator-{next(_numbers)}"
    async with kube_api(control_plane.kubeconfig, name) as kube:
        await kube.create_namespace()
    return name


@pytest.fixture
def logged() -> Iterator[Logged]:
    """What is logged during the test."""
    with logging_kept() as kept:
        yield kept


@pytest.fixture
async def empty_world(
    control_plane: TestControlPlane,
    namespace: str,
    database_url: str,
    authority_folder: Path,
    logged: Logged,
) -> AsyncIterator[World]:
    """A world without any object; the test fails where the operator logs an error."""
    async with (
        running_simulator(authority_folder) as proxmox,
        kube_api(control_plane.kubeconfig, namespace) as kube,
        running_agents(database_url, namespace, proxmox) as agents,
    ):
        world = World(kube, control_plane.kubeconfig, database_url, proxmox, agents, logged)
        yield world
    errors = [line for line in logged.lines("error") if line["event"] not in world.expected_errors]
    told = "\n".join(f"{one['event']}: {one.get('exception', one)}" for one in errors)
    assert not errors, f"the operator logged errors:\n{told}"


@pytest.fixture
async def world(empty_world: World) -> AsyncIterator[World]:
    """A world with a cluster, a quick SystemConfig and a running operator."""
    await empty_world.furnish()
    async with empty_world.operator():
        yield empty_world
