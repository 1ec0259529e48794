"""Clusters to hold the Proxmox client against: ours over HTTPS, ours in-process, and fakepve.

Each says the same few things in its own way, so that one test runs against all of them. fakepve
was written by others from the same source: where it agrees with ours, neither is a lone opinion.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from fakepve import FakePve, settle

from defib_dev.components.certificates import Authority
from defib_dev.proxmox_sim.changes import change_guest, create_guest
from defib_dev.proxmox_sim.faults import ApiMode
from defib_dev.proxmox_sim.inprocess import InProcessWire
from defib_dev.proxmox_sim.model import Datacenter
from defib_dev.proxmox_sim.simulator import full_rights, wall_clock
from defib_operator.proxmox import ProxmoxClient
from support.proxmox import (
    NODES,
    SECRET,
    TOKEN_ID,
    client_settings,
    quick_timing,
    running_simulator,
    server_certificate,
)

UUID_TEXT = "9f0c2a52-58a1-4c0e-9d1f-7d35a1e1c001"


class Witness(Protocol):
    """A cluster of pve1 and pve2, told what to be like."""

    client: ProxmoxClient

    def add(self, vmid: int, name: str, *, node: str, running: bool) -> None:
        """Create a VM with UUID_TEXT in its configuration, and a QEMU guest agent that answers."""

    def hang_guest_agent(self, vmid: int) -> None:
        """Let the QEMU guest agent fall silent."""

    def lock(self, vmid: int, lock: str) -> None:
        """Lock its configuration."""

    def make_template(self, vmid: int) -> None:
        """Turn a stopped VM into a template."""

    def take_away(self, node: str) -> None:
        """Take a node offline."""

    def move(self, vmid: int, node: str) -> None:
        """Move a VM to another node."""

    def lose_quorum(self) -> None:
        """Lose the majority."""


class OurWitness:
    """Our simulator."""

    def __init__(self, dc: Datacenter, client: ProxmoxClient) -> None:
        self.dc = dc
        self.client = client

    def add(self, vmid: int, name: str, *, node: str, running: bool) -> None:
        now = datetime.now(UTC)
        power = "running" if running else "stopped"
        body = {"vmid": vmid, "name": name, "node": node, "power": power, "uuid": UUID_TEXT}
        create_guest(self.dc, body, now)

    def hang_guest_agent(self, vmid: int) -> None:
        change_guest(self.dc, vmid, {"frozen": True}, datetime.now(UTC))

    def lock(self, vmid: int, lock: str) -> None:
        change_guest(self.dc, vmid, {"lock": lock}, datetime.now(UTC))

    def make_template(self, vmid: int) -> None:
        change_guest(self.dc, vmid, {"template": True}, datetime.now(UTC))

    def take_away(self, node: str) -> None:
        self.dc.set_online(node, online=False, now=datetime.now(UTC))

    def move(self, vmid: int, node: str) -> None:
        change_guest(self.dc, vmid, {"node": node}, datetime.now(UTC))

    def lose_quorum(self) -> None:
        self.dc.mode = ApiMode.NO_QUORUM


class FakepveWitness:
    """fakepve."""

    def __init__(self, pve: FakePve, client: ProxmoxClient) -> None:
        self.pve = pve
        self.client = client

    def add(self, vmid: int, name: str, *, node: str, running: bool) -> None:
        status = "running" if running else "stopped"
        config = {"smbios1": f"uuid={UUID_TEXT}", "agent": "enabled=1"}
        self.pve.add_vm(vmid, name, node=node, status=status, config=config).agent = {}

    def hang_guest_agent(self, vmid: int) -> None:
        self.pve.vm(vmid).agent_hangs = True

    def lock(self, vmid: int, lock: str) -> None:
        self.pve.vm(vmid).lock = lock

    def make_template(self, vmid: int) -> None:
        self.pve.vm(vmid).template = True

    def take_away(self, node: str) -> None:
        self.pve.set_node_offline(node)

    def move(self, vmid: int, node: str) -> None:
        self.pve.vm(vmid).node = node

    def lose_quorum(self) -> None:
        self.pve.lose_quorum()


@asynccontextmanager
async def over_https(folder: Path) -> AsyncIterator[Witness]:
    """Our simulator, as users run it."""
    async with running_simulator(folder) as running, running.client() as client:
        yield OurWitness(running.dc, client)


@asynccontextmanager
async def in_process(folder: Path) -> AsyncIterator[Witness]:
    """Our simulator without HTTP, as the policy simulator runs it."""
    dc = Datacenter(NODES, timing=quick_timing())
    full_rights(dc, TOKEN_ID, SECRET)
    wire = InProcessWire(dc, token_id=TOKEN_ID, secret=SECRET, clock=wall_clock)
    settings = client_settings(("https://model",), Authority.ensure(folder).pem)
    async with ProxmoxClient(settings, wire) as client:
        yield OurWitness(dc, client)


@asynccontextmanager
async def fakepve(folder: Path) -> AsyncIterator[Witness]:
    """The independent one."""
    authority = Authority.ensure(folder)
    files = server_certificate(authority)
    pve = FakePve(user="root@pam", password="unused", host="127.0.0.1", port=0)
    pve.apitokens[TOKEN_ID] = SECRET
    for node in NODES:
        pve.add_node(node)
    await pve.start(str(files.certificate), str(files.key))
    try:
        async with ProxmoxClient(client_settings((pve.url,), authority.pem)) as client:
            yield FakepveWitness(pve, client)
    finally:
        for connection in pve.runner.server.connections:
            if connection.transport is not None:  # None: the client's closing has arrived already
                connection.transport.abort()  # it would leave them open
        await pve.stop()
        await settle()


WITNESSES = {"https": over_https, "in-process": in_process, "fakepve": fakepve}
