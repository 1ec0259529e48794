"""The simulated Proxmox cluster in a test's own process, on free ports, with its own authority."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from defib_dev.components.certificates import Authority, KeyPair
from defib_dev.proxmox_sim.changes import create_guest
from defib_dev.proxmox_sim.guest import Guest
from defib_dev.proxmox_sim.model import Datacenter, Timing
from defib_dev.proxmox_sim.simulator import Certificate, Ports, Simulator, full_rights
from defib_operator.proxmox import ProxmoxClient, ProxmoxSettings

TOKEN_ID = "defib@pve!operator"
SECRET = "0e4b1d62-6a5e-4f7e-9d6e-3c0f5a0f1b77"
NODES = ("pve1", "pve2")


def quick_timing() -> Timing:
    """Tasks that take no time worth waiting for, and a list that lags behind nothing."""
    return Timing(
        task=timedelta(milliseconds=20),
        ha_delay=timedelta(milliseconds=50),
        broadcast_lag=timedelta(0),
    )


def client_settings(endpoints: Iterable[str], ca_pem: str | None, **others: Any) -> ProxmoxSettings:  # noqa: ANN401 - any field
    """Settings with short patience and the full-rights token."""
    given = {
        "endpoints": tuple(endpoints),
        "ca_pem": ca_pem,
        "token_id": TOKEN_ID,
        "token_secret": SECRET,
        "connect_timeout": timedelta(seconds=2),
        "read_timeout": timedelta(seconds=5),
        "post_timeout": timedelta(seconds=5),
    }
    return ProxmoxSettings(**(given | others))


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulated cluster that listens."""

    simulator: Simulator
    authority: Authority

    @property
    def dc(self) -> Datacenter:
        """The cluster itself, for a test to change."""
        return self.simulator.dc

    def guest(self, vmid: int = 100, name: str = "web-0", **others: object) -> Guest:
        """Create a guest that has been up for long; `others` in the control interface's words."""
        return create_guest(self.dc, {"vmid": vmid, "name": name, **others}, datetime.now(UTC))

    def settings(self, **others: Any) -> ProxmoxSettings:  # noqa: ANN401 - any field
        """Settings for this simulator alone; `endpoints=` for several."""
        endpoints = others.pop("endpoints", (self.simulator.api_url,))
        ca_pem = others.pop("ca_pem", self.authority.pem)
        return client_settings(endpoints, ca_pem, **others)

    def client(self, **others: Any) -> ProxmoxClient:  # noqa: ANN401 - any field
        """A client of this simulator. The caller closes it."""
        return ProxmoxClient(self.settings(**others))


def server_certificate(authority: Authority) -> KeyPair:
    """The certificate of a server on loopback."""
    return authority.server("proxmox")


@asynccontextmanager
async def running_simulator(
    folder: Path,
    *,
    nodes: Iterable[str] = NODES,
    timing: Timing | None = None,
    dc: Datacenter | None = None,
) -> AsyncIterator[RunningSimulator]:
    """A simulator on free ports. The folder keeps its authority; share it to share the trust."""
    authority = Authority.ensure(folder)
    files = server_certificate(authority)
    cluster = dc or Datacenter(nodes, timing=timing or quick_timing())
    full_rights(cluster, TOKEN_ID, SECRET)
    simulator = Simulator(cluster, unauthorized_delay=timedelta(0))
    await simulator.start(Ports(), Certificate(cert=files.certificate, key=files.key))
    try:
        yield RunningSimulator(simulator, authority)
    finally:
        await simulator.close()
