"""Each part is restarted under load, one after the other, while a VM dies: nothing acknowledged is
lost, and the VM is reset once.

Restarted as a kubelet does it: SIGTERM, wait for the end, start again. A replica of the API that
goes is out of the Service before: agents that find nobody try the other.
"""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from defib_core.store import registry, tokens
from defib_core.store.engine import make_engine
from defib_core.store.migrate import upgrade
from defib_core.store.tokens import TokenKind
from defib_dev.components import processes, readiness, valkey
from defib_dev.components.ports import free_port
from defib_dev.components.postgres import PostgresServer
from defib_dev.components.processes import ProcessSpec
from defib_dev.components.valkey import ValkeyServer
from operator_process.agents import Agents
from operator_process.kube_api import kube_api
from operator_process.world import World
from support.control_plane import TestControlPlane
from support.folders import server_folder
from support.logged import Logged
from support.proxmox import RunningSimulator, running_simulator
from support.relay_process import LOOPBACK, api_settings, serving
from support.running_api import run_sql
from support.waiting import eventually_async

VMS = range(100, 150)
DYING = 100
BATCHES_A_SECOND = 6
"""Times fifty reports: three hundred a second, where the machine keeps up."""
SOME = 500
LONG = 180.0


@dataclass(slots=True)
class Load:
    """All agents at once, in batches; each report carries a number of its own as its uptime."""

    key: str
    urls: list[str]
    proxmox: RunningSimulator
    acknowledged: set[int] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    _number: int = 0

    async def run(self) -> None:
        """Report until cancelled; what is not acknowledged is sent again, as agents do."""
        headers = {"X-API-Key": self.key}
        batch: list[dict[str, object]] = []
        async with httpx.AsyncClient(timeout=10, headers=headers) as http:
            while True:
                if not batch:
                    batch = [self._report(vmid) for vmid in VMS if self._beats(vmid)]
                await self._send(http, batch)
                await asyncio.sleep(1 / BATCHES_A_SECOND)

    async def until_more(self) -> None:
        """Wait until some more are acknowledged."""
        enough = len(self.acknowledged) + SOME

        async def is_so() -> bool:
            assert self.refused == []
            return len(self.acknowledged) >= enough

        await eventually_async(is_so, what=f"{SOME} more reports", deadline_seconds=LONG)

    def _beats(self, vmid: int) -> bool:
        now = datetime.now(UTC)
        self.proxmox.dc.advance(now)
        return self.proxmox.dc.reports(self.proxmox.dc.guests[vmid], now)

    def _report(self, vmid: int) -> dict[str, object]:
        self._number += 1
        return {
            "hostname": f"web-{vmid}",
            "vmid": vmid,
            "cpuUsage": 10,
            "ramUsage": 1024,
            "ramTotal": 4096,
            "uptime": self._number,
            "bootId": self.proxmox.dc.guests[vmid].simulated.boot_id,
            "ageSeconds": 0,
        }

    async def _send(self, http: httpx.AsyncClient, batch: list[dict[str, object]]) -> None:
        """Send a batch; what was not taken stays in it."""
        try:
            answer = await http.post(f"{self.urls[0]}/api/health/reports", json={"reports": batch})
        except httpx.HTTPError:
            self.urls.reverse()  # nobody is there: it is out of the Service
            return
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return
        told = answer.json()
        lost = {one["index"] for one in told.get("rejected", []) if one["status"] == 503}
        if answer.status_code != httpx.codes.OK or len(told["rejected"]) > len(lost):
            self.refused.append(answer.text)
        numbers = [int(str(one["uptime"])) for at, one in enumerate(batch) if at not in lost]
        self.acknowledged.update(numbers)
        batch[:] = [one for at, one in enumerate(batch) if at in lost]


@dataclass(slots=True)
class Replica:
    """An API process that can be rolled."""

    stack: ExitStack
    settings: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self.settings['DEFIB_API_PORT']}"

    async def start(self) -> None:
        """Start it; returns when it is ready."""
        self.process = self.stack.enter_context(serving("api", self.settings, self.log))

        async def is_ready() -> bool:
            with suppress(httpx.TransportError):
                return (await http.get("/readyz")).status_code == httpx.codes.OK
            return False

        async with httpx.AsyncClient(base_url=self.url) as http:
            what = f"it is ready; its log: {self.log}"
            await eventually_async(is_ready, what=what, deadline_seconds=LONG)

    async def roll(self) -> None:
        """End it in good order, and start it again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(self.process.wait, LONG) in {0, -signal.SIGTERM}
        await self.start()


@pytest.fixture
def parts() -> Iterator[tuple[ExitStack, PostgresServer, ValkeyServer]]:
    """A PostgreSQL that syncs, a Valkey, and a stack for what is started."""
    with server_folder("rolling") as folder, ExitStack() as stack:
        postgres = PostgresServer.at(folder / "postgres", free_port(), durable=True)
        cache = ValkeyServer(valkey.find(), folder / "valkey", free_port())
        postgres.prepare()
        cache.prepare()
        yield stack, postgres, cache


def start(stack: ExitStack, server: PostgresServer | ValkeyServer) -> processes.ProcessRecord:
    """Start a server; returns when it answers."""
    spec: ProcessSpec = server.spec(dies_with_parent=True)
    record = processes.start(spec, server.home / f"{spec.name}.log")
    stack.callback(processes.stop, record)
    readiness.wait_for_process(record, server.missing, deadline_seconds=LONG)
    return record


async def roll(
    stack: ExitStack, server: PostgresServer | ValkeyServer, record: processes.ProcessRecord
) -> None:
    """Stop a server in good order, and start it again."""
    await asyncio.to_thread(processes.stop, record)
    await asyncio.to_thread(start, stack, server)


async def agents_key(url: str, namespace: str) -> str:
    """A key for the agents of a namespace's default cluster."""
    engine = make_engine(url, application="tests")
    async with engine.begin() as connection:
        await registry.ensure_defaults(connection, namespace)
        cluster_id = await tokens.cluster_id_of(connection, namespace, "default")
        key = await tokens.create(connection, TokenKind.AGENT, "load", cluster_id=cluster_id)
    await engine.dispose()
    return key


@asynccontextmanager
async def running(load: Load) -> AsyncIterator[None]:
    """Load for as long as the block lasts."""
    task = asyncio.create_task(load.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.timeout(900)
async def test_each_part_is_restarted_under_load(
    parts: tuple[ExitStack, PostgresServer, ValkeyServer],
    control_plane: TestControlPlane,
    namespace: str,
    tmp_path: Path,
    logged: Logged,
) -> None:
    stack, server, cache = parts
    postgres, redis = start(stack, server), start(stack, cache)
    url = server.ensure_database("defib", owner="defib", password="only-for-tests")
    upgrade(url)
    key = await agents_key(url, namespace)
    replicas = [
        Replica(
            stack,
            {
                **api_settings(url, free_port()),
                "DEFIB_NAMESPACE": namespace,
                "DEFIB_REDIS_URL": cache.url,
            },
            tmp_path / f"api-{number}.log",
        )
        for number in range(2)
    ]
    for replica in replicas:
        await replica.start()
    engine = make_engine(url, application="tests")
    async with (
        running_simulator(tmp_path / "authority") as proxmox,
        kube_api(control_plane.kubeconfig, namespace) as kube,
    ):
        for vmid in VMS:
            proxmox.guest(vmid, f"web-{vmid}", bootSeconds=1)
        nobody = Agents(url, namespace, proxmox, engine)
        world = World(kube, control_plane.kubeconfig, url, proxmox, nobody, logged)
        await world.furnish(staleTimeoutMs=6000, bootGraceSeconds=30)
        load = Load(key, [one.url for one in replicas], proxmox)
        with world.process(tmp_path, identity="one") as one:
            await world.is_led_by("one", deadline_seconds=LONG)
            with world.process(tmp_path, identity="two"):
                async with running(load):
                    name = f"web-{DYING}"
                    await world.condition(name, "Ready", "Monitored", deadline_seconds=LONG)
                    await load.until_more()
                    for replica in replicas:
                        await replica.roll()
                        await load.until_more()

                    world.change(DYING, frozen=True, bootSeconds=1)
                    one.signal(signal.SIGTERM)
                    await world.is_led_by("two", deadline_seconds=LONG)
                    await roll(stack, cache, redis)
                    await load.until_more()
                    await roll(stack, server, postgres)
                    await load.until_more()

                    await _is_healed(world)
        await _nothing_is_lost(url, load)
        assert [(post.vmid, post.action) for post in proxmox.dc.posts] == [(DYING, "reset")]
    await engine.dispose()


async def _is_healed(world: World) -> None:
    async def proven() -> bool:
        return await world.resets(DYING) == [("auto", "succeeded", True)]

    await eventually_async(proven, what="the dead VM is reset, once", deadline_seconds=LONG)


async def _nothing_is_lost(url: str, load: Load) -> None:
    stored = {row[0] for row in await run_sql(url, "SELECT uptime FROM vm_metric")}
    assert load.acknowledged - stored == set()
    assert len(load.acknowledged) > 4 * SOME
