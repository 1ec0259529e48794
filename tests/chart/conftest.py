"""The operator's own world, for stories under the chart's rights."""

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


@pytest.fixture
def _impatient_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Production's loops, oftener."""
    monkeypatch.setattr("defib_operator.main.REGISTER_EVERY", timedelta(milliseconds=300))
    monkeypatch.setattr("defib_operator.main.COUNT_EVERY", timedelta(milliseconds=300))
    monkeypatch.setattr("defib_operator.cluster_watch.LOOK_EVERY", timedelta(milliseconds=500))
    monkeypatch.setattr("defib_operator.clusters.READ_SECRET_EVERY", timedelta(milliseconds=500))


@pytest.fixture
def logged() -> Iterator[Logged]:
    """What is logged during the test."""
    with logging_kept() as kept:
        yield kept


@pytest.fixture
async def furnished(
    control_plane: TestControlPlane,
    namespace: str,
    database_url: str,
    tmp_path: Path,
    logged: Logged,
    _impatient_loops: None,
) -> AsyncIterator[World]:
    """A namespace with a cluster and a quick SystemConfig, made by an administrator."""
    async with (
        running_simulator(tmp_path / "authority") as proxmox,
        kube_api(control_plane.kubeconfig, namespace) as kube,
        running_agents(database_url, namespace, proxmox) as agents,
    ):
        world = World(kube, control_plane.kubeconfig, database_url, proxmox, agents, logged)
        await world.furnish()
        yield world
