"""Stands in for the API and the agents: proves ingest, and stores heartbeats through the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from psycopg.errors import DeadlockDetected
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import clusters, heartbeats, liveness, registry
from defib_core.store.engine import hot_connection, make_engine
from defib_core.store.failures import DATABASE_ERRORS
from defib_core.store.heartbeats import Heartbeat
from defib_core.store.registry import ReportedIdentity
from support.proxmox import RunningSimulator

BEAT_SECONDS = 0.4


@dataclass(slots=True)
class Agent:
    """One agent. Where the simulator has its guest, it reports while that guest would."""

    vmid: int
    hostname: str
    cpu: float = 10.0
    ram: int = 2048
    boot_id: str | None = None
    silent: bool = False
    vm_id: int | None = None


@dataclass(slots=True)
class Agents:
    """All agents of a test, and the ingest that hears them."""

    database_url: str
    namespace: str
    proxmox: RunningSimulator
    engine: AsyncEngine
    is_blind: bool = False
    """True: nothing is stored and nothing proved, as if no API replica ran."""
    known: dict[int, Agent] = field(default_factory=dict)

    async def begin(self, vmid: int, hostname: str, **figures: float) -> Agent:
        """Let an agent report from now on; returns when its first report is stored."""
        agent = replace(Agent(vmid, hostname), **figures)  # type: ignore[arg-type]  # figures only
        await self.report(agent)
        self.known[vmid] = agent
        return agent

    def silence(self, vmid: int) -> None:
        """Let an agent die, and nothing else."""
        self.known[vmid].silent = True

    async def report(self, agent: Agent) -> None:
        """Store one report."""
        async with self.engine.begin() as connection:
            await registry.ensure_defaults(connection, self.namespace)
            agent.vm_id = await registry.find_or_create(
                connection,
                ReportedIdentity(
                    cluster_id=await self._cluster_id(),
                    vmid=agent.vmid,
                    hostname=agent.hostname,
                    node=None,
                    smbios_uuid=None,
                    agent_version=None,
                ),
            )
        await self.beat(agent)

    async def beat(self, agent: Agent) -> None:
        """Store one heartbeat of a VM that is known."""
        async with await hot_connection(self.database_url, application="agents") as hot:
            await liveness.prove(hot, "agents")
            try:
                await heartbeats.store(hot, [self._heartbeat(agent)])
            except DeadlockDetected:  # its object is taken in at this moment: as the API, once more
                await heartbeats.store(hot, [self._heartbeat(agent)])

    async def _cluster_id(self) -> int:
        async with self.engine.begin() as connection:
            await registry.ensure_defaults(connection, self.namespace)
        async with self.engine.connect() as connection:
            known = await clusters.all_clusters(connection)
        return next(
            one.id for one in known if (one.namespace, one.name) == (self.namespace, "default")
        )

    async def run(self) -> None:
        """Beat for as long as this runs."""
        while True:
            with suppress(*DATABASE_ERRORS):
                await self._beat_on_one_connection()
            await asyncio.sleep(BEAT_SECONDS)

    async def _beat_on_one_connection(self) -> None:
        async with await hot_connection(self.database_url, application="agents") as hot:
            while True:
                if not self.is_blind:
                    await liveness.prove(hot, "agents")
                    due = [self._heartbeat(one) for one in self.known.values() if self._beats(one)]
                    if due:
                        await heartbeats.store(hot, due)
                await asyncio.sleep(BEAT_SECONDS)

    def _beats(self, agent: Agent) -> bool:
        if agent.silent or agent.vm_id is None:
            return False
        guest = self.proxmox.dc.guests.get(agent.vmid)
        if guest is None:
            return True
        now = datetime.now(UTC)
        self.proxmox.dc.advance(now)
        return self.proxmox.dc.reports(guest, now)

    def _heartbeat(self, agent: Agent) -> Heartbeat:
        assert agent.vm_id is not None
        guest = self.proxmox.dc.guests.get(agent.vmid)
        return Heartbeat(
            vm_id=agent.vm_id,
            status="running",
            cpu=agent.cpu,
            ram=agent.ram,
            ram_total=4096,
            disk=50_000,
            disk_total=100_000,
            uptime=3600,
            boot_id=agent.boot_id if guest is None else guest.simulated.boot_id,
            agent_time=None,
        )


@asynccontextmanager
async def running_agents(
    database_url: str, namespace: str, proxmox: RunningSimulator
) -> AsyncIterator[Agents]:
    """Ingest and agents for as long as the block lasts."""
    engine = make_engine(database_url, application="agents")
    agents = Agents(database_url, namespace, proxmox, engine)
    task = asyncio.create_task(agents.run())
    try:
        yield agents
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await engine.dispose()
