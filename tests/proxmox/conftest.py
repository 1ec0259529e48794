"""The simulator, clients of it, and the independent witness."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from defib_dev.components.certificates import Authority
from defib_operator.proxmox import ProxmoxClient
from support.proxmox import RunningSimulator, running_simulator


@pytest.fixture(scope="session")
def authority_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authority")


@pytest.fixture(scope="session")
def authority(authority_folder: Path) -> Authority:
    return Authority.ensure(authority_folder)


@pytest.fixture
async def simulator(authority_folder: Path) -> AsyncIterator[RunningSimulator]:
    """A cluster of pve1 and pve2 without guests."""
    async with running_simulator(authority_folder) as running:
        yield running


@pytest.fixture
async def client(simulator: RunningSimulator) -> AsyncIterator[ProxmoxClient]:
    async with simulator.client() as opened:
        yield opened
