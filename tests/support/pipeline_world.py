"""One silent VM, a real database, an in-process Proxmox, and an operator that may die anywhere."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.config.system_config import parse_system_config
from defib_core.store import clusters as cluster_store
from defib_core.store import lease, liveness, mirror, registry
from defib_core.store.clusters import Cluster
from defib_core.store.engine import hot_connection, make_engine
from defib_core.store.heartbeats import Heartbeat, store
from defib_core.store.mirror import Mirrored, ObjectKey, VmObject
from defib_core.store.tables import UNFINISHED_SQL
from defib_dev.proxmox_sim.changes import change_guest, create_guest
from defib_dev.proxmox_sim.inprocess import InProcessWire
from defib_dev.proxmox_sim.model import Datacenter
from defib_dev.proxmox_sim.simulator import full_rights
from defib_operator.clusters import view
from defib_operator.looks import Finding, Looker, Wanted
from defib_operator.pipeline import Pipeline
from defib_operator.proxmox import ProxmoxClient
from defib_operator.sweep import Sweep
from support.proxmox import NODES, SECRET, TOKEN_ID, client_settings, quick_timing

VMID = 100
LEASE = timedelta(seconds=60)
SPEC = {
    "staleTimeoutMs": 1000,
    "reportIntervalSeconds": 1,
    "staleCheckIntervalSeconds": 1,
    "bootGraceSeconds": 1,
    "acknowledgeRisk": True,
    "safety": {"armAfterReports": 1, "secondLifeSignals": [], "blindAfterSeconds": 3600},
}


class Death(BaseException):
    """The process ends here: no handler of ours may survive it."""


@dataclass
class Mortal:
    """Dies at the given checkpoint, or at the given database commit (from 1)."""

    at_checkpoint: str | None = None
    at_commit: int | None = None
    commits: int = 0
    passed: list[str] = field(default_factory=list)
    died: bool = False

    async def checkpoint(self, name: str) -> None:
        self.passed.append(name)
        if name == self.at_checkpoint:
            self.die()

    def committed(self, _: object) -> None:
        self.commits += 1
        if self.commits == self.at_commit:
            self.die()

    def die(self) -> None:
        self.died = True
        raise Death


@dataclass
class OneLead:
    """A lease that this operator holds."""

    held: int

    @property
    def epoch(self) -> int:
        return self.held

    @property
    def until(self) -> float:
        return inf


class AlwaysHears:
    """The Kubernetes API was heard just now."""

    def heard_at(self, now: datetime) -> datetime:
        return now


@dataclass
class World:
    """The database, the cluster, and the VM in it."""

    engine: AsyncEngine
    url: str
    dc: Datacenter
    vm_id: int = 0

    def client(self) -> ProxmoxClient:
        wire = InProcessWire(
            self.dc, token_id=TOKEN_ID, secret=SECRET, clock=lambda: datetime.now(UTC)
        )
        return ProxmoxClient(client_settings(("pve1:8006",), None), wire)

    async def query(self, sql: str, **values: object) -> list[Any]:
        async with self.engine.connect() as connection:
            return list((await connection.execute(text(sql), values)).all())

    async def heartbeat(self, boot_id: str) -> None:
        connection = await hot_connection(self.url, application="test")
        async with connection:
            await liveness.prove(connection, "test")
            beat = Heartbeat(
                self.vm_id, "running", 1.0, 1, 2, None, None, 1, boot_id, datetime.now(UTC)
            )
            await store(connection, [beat])

    async def make_silent(self) -> None:
        """One heartbeat long ago, and a guest that hangs."""
        await self.heartbeat("before")
        async with self.engine.begin() as connection:
            await connection.execute(
                text(
                    "UPDATE vm_state SET last_heartbeat = last_heartbeat - interval '1 hour',"
                    " clock_floor = clock_floor - interval '1 hour'"
                )
            )
            await connection.execute(
                text("UPDATE vm SET managed_at = managed_at - interval '1 hour'")
            )
        change_guest(self.dc, VMID, {"frozen": True}, datetime.now(UTC))

    async def reset(self) -> None:
        """Forget the VM and all that was done to it; the next world begins in the same database."""
        async with self.engine.begin() as connection:
            await connection.execute(text("DELETE FROM vm"))
        await self.engine.dispose()

    def posts(self) -> list[str]:
        return [post.action for post in self.dc.posts]


@dataclass
class EyesOf:
    """Looks at the one cluster."""

    world: World
    only: ProxmoxClient
    looker: Looker

    async def look(self, wanted: Sequence[Wanted], now: datetime) -> Mapping[int, Finding]:
        async with self.world.engine.connect() as connection:
            (cluster,) = await cluster_store.all_clusters(connection)
        views = {cluster.id: await view(self, cluster)}
        return await self.looker.look_at_all(list(wanted), views, now)

    def forget_all_but(self, vm_ids: frozenset[int]) -> None:
        self.looker.forget_all_but(vm_ids)

    async def client(self, _: Cluster) -> ProxmoxClient:
        return self.only

    async def client_of(self, _: int) -> ProxmoxClient:
        return self.only


async def operate(world: World, mortal: Mortal, *, most_seconds: float = 20) -> None:
    """Be one operator process: sweep, and carry out until nothing is unfinished, or until death."""
    engine = make_engine(world.url, application="operator")
    event.listen(engine.sync_engine, "commit", mortal.committed)
    async with world.engine.begin() as connection:
        await connection.execute(text("UPDATE leader_lease SET expires_at = NULL, holder = NULL"))
        epoch = await lease.take_or_renew(connection, "test", LEASE)
    assert epoch is not None
    client = world.client()
    eyes = EyesOf(world, client, Looker(timedelta(seconds=5)))
    lead, ears = OneLead(epoch), AlwaysHears()
    pipeline = Pipeline(
        engine,
        lead,
        eyes=eyes,
        ears=ears,
        client_of=eyes.client_of,
        checkpoint=mortal.checkpoint,
    )
    try:
        with suppress(Death):
            async with asyncio.timeout(most_seconds):
                await Sweep(engine, lead, eyes, ears).tick()
                await _carry_out(pipeline, world, mortal)
    finally:
        await pipeline.stop()
        await client.close()
        await engine.dispose()


async def _carry_out(pipeline: Pipeline, world: World, mortal: Mortal) -> None:
    while not mortal.died:
        await pipeline.take_up()
        if not await world.query(f"SELECT 1 FROM reset_history WHERE {UNFINISHED_SQL}"):
            return
        await asyncio.sleep(0.02)
    raise Death


async def new_world(url: str, *, steps: tuple[str, ...] = ("Reset",)) -> World:
    """A managed VM that has reported once, on pve1."""
    engine = make_engine(url, application="test")
    dc = Datacenter(NODES, timing=quick_timing())
    full_rights(dc, TOKEN_ID, SECRET)
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    create_guest(dc, {"vmid": VMID, "name": "web-0", "node": "pve1"}, long_ago)
    world = World(engine, url, dc)
    async with engine.begin() as connection:
        now = datetime.now(UTC)
        await registry.ensure_defaults(connection, "defib")
        key = ObjectKey("defib", "default", "config-uid", 1, now)
        await mirror.mirror_config(connection, key, parse_system_config(SPEC), now)
        await connection.execute(text("UPDATE proxmox_cluster SET spec = '{}'::jsonb"))
        mirrored = await mirror.mirror_vm(connection, _vm(steps, now), now)
    assert isinstance(mirrored, Mirrored)
    world.vm_id = mirrored.vm_id
    return world


def _vm(steps: tuple[str, ...], now: datetime) -> VmObject:
    return VmObject(
        key=ObjectKey("defib", "web-0", "vm-uid", 1, now),
        cluster="default",
        config="default",
        vmid=VMID,
        hostname="web-0",
        proxmox_name=None,
        stale_timeout=None,
        cpu_threshold=None,
        ram_threshold=None,
        max_attempts=9,
        enabled=True,
        steps=steps,
        paused_reason=None,
        paused_until=None,
        labels={},
    )
