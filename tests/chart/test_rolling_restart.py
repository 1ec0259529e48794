"""Each part is restarted under load, one after the other, while a VM dies: nothing acknowledged is
lost, and the VM is reset once.

All that on the schema of a later version, to which the database is upgraded under the same load: as
while the next version is rolled out, and after a rollback.

Restarted as a kubelet does it: SIGTERM, wait for the end, start again. A replica of the API that
goes is out of the Service before: agents that find nobody try the other.
"""

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from chart.load import LONG, SOME, VMS, Load, running, stored_numbers
from defib_core.store import registry, tokens
from defib_core.store.engine import make_engine
from defib_core.store.fitness import needed_revision
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
from support.later_schema import upgrade_to_later
from support.logged import Logged
from support.proxmox import running_simulator
from support.relay_process import LOOPBACK, api_settings, serving
from support.running_api import run_sql
from support.waiting import eventually_async

DYING = 100


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


@pytest.mark.timeout(900)
async def test_each_part_is_restarted_under_load(
    parts: tuple[ExitStack, PostgresServer, ValkeyServer],
    control_plane: TestControlPlane,
    namespace: str,
    tmp_path: Path,
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
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
                    later = await asyncio.to_thread(upgrade_to_later, url, tmp_path, monkeypatch)
                    assert later > needed_revision()
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
        assert await run_sql(url, "SELECT count(*) > 0 FROM later_thing") == [(True,)]
    await engine.dispose()


async def _is_healed(world: World) -> None:
    async def proven() -> bool:
        return await world.resets(DYING) == [("auto", "succeeded", True)]

    await eventually_async(proven, what="the dead VM is reset, once", deadline_seconds=LONG)


async def _nothing_is_lost(url: str, load: Load) -> None:
    assert load.acknowledged - await stored_numbers(url) == set()
    assert len(load.acknowledged) > 4 * SOME
