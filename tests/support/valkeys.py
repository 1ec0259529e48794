"""Several real Valkeys that know each other: a primary with replica and Sentinel, or a cluster.

Each lets an ACL user in who may do what Defib does and nothing else. The wheel's server speaks no
TLS, so `tls_front` stands in front of one and does.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from defib_dev.components import processes, readiness, valkey
from defib_dev.components.certificates import Authority
from defib_dev.components.ports import LOOPBACK, free_port
from defib_dev.components.processes import ProcessRecord, ProcessSpec
from support.folders import server_folder
from support.waiting import eventually

USER, PASSWORD, ADMIN = "defib", "only-for-tests", "only-for-admins"
MAY = "-@all +get +set +del +ping +command +client|setname +client|setinfo +cluster|slots"
"""What docs/configuration.md tells people to allow."""
SERVICE = "mymaster"
LAST_SLOT = 16383
LONG = 60


@dataclass(slots=True)
class Node:
    """A server, or a Sentinel, that can be killed and started again."""

    folder: Path
    port: int
    lines: Sequence[str]
    arguments: tuple[str, ...] = ()
    record: ProcessRecord | None = field(default=None)

    def start(self) -> None:
        """Start it; returns when it answers."""
        file = self.folder / "valkey.conf"
        if not file.exists():  # what it writes into it itself stays
            self.folder.mkdir(parents=True, exist_ok=True)
            text = [f"bind {LOOPBACK}", f"port {self.port}", f'dir "{self.folder}"', *self.lines]
            file.write_text("\n".join(text) + "\n")
        argv = (str(valkey.find()), str(file), *self.arguments)
        spec = ProcessSpec(name="valkey", argv=argv, dies_with_parent=True)
        self.record = processes.start(spec, self.folder / "valkey.log")
        readiness.wait_for_process(self.record, self._missing, deadline_seconds=LONG)

    def stop(self) -> None:
        """End it."""
        if self.record is not None:
            processes.stop(self.record)

    def admin(self) -> "redis.Redis[bytes]":
        """A client that may do anything."""
        once = Retry(NoBackoff(), retries=0)
        return redis.Redis(
            host=LOOPBACK, port=self.port, password=ADMIN, socket_timeout=5, retry=once
        )

    def _missing(self) -> str | None:
        try:
            with self.admin() as client:
                client.ping()
        except redis.RedisError as error:
            return str(error)
        return None


def server_lines(*more: str) -> list[str]:
    """The configuration of a server that keeps nothing and lets both users in."""
    return [
        'save ""',
        "appendonly no",
        f"user default on >{ADMIN} ~* &* +@all",
        f"user {USER} on >{PASSWORD} ~defib:* resetchannels {MAY}",
        f"masterauth {ADMIN}",
        *more,
    ]


@dataclass(frozen=True, slots=True)
class Watched:
    """A primary, its replica, and the Sentinel that watches them."""

    primary: Node
    replica: Node
    sentinel: Node

    @property
    def url(self) -> str:
        """As DEFIB_REDIS_URL takes it; a Sentinel that is not there is named first."""
        return (
            f"redis+sentinel://{USER}:{PASSWORD}@{LOOPBACK}:1,{LOOPBACK}:{self.sentinel.port}"
            f"/{SERVICE}?sentinel_password={ADMIN}"
        )

    def primary_port(self) -> int:
        """Who the primary is, as the Sentinel sees it."""
        with self.sentinel.admin() as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])


@contextmanager
def watched_by_sentinel() -> Iterator[Watched]:
    """All three for as long as the block lasts."""
    with server_folder("sentinel") as folder, ExitStack() as stack:
        quick = "repl-diskless-sync-delay 0"
        primary = Node(folder / "primary", free_port(), server_lines(quick))
        follows = f"replicaof {LOOPBACK} {primary.port}"
        replica = Node(folder / "replica", free_port(), server_lines(quick, follows))
        sentinel = Node(
            folder / "sentinel",
            free_port(),
            [
                f"requirepass {ADMIN}",
                f"sentinel monitor {SERVICE} {LOOPBACK} {primary.port} 1",
                f"sentinel auth-pass {SERVICE} {ADMIN}",
                f"sentinel down-after-milliseconds {SERVICE} 500",
                f"sentinel failover-timeout {SERVICE} 3000",
            ],
            ("--sentinel",),
        )
        for node in (primary, replica, sentinel):
            stack.callback(node.stop)
            node.start()
        eventually(
            lambda: _is_followed(primary, sentinel),
            what="the Sentinel knows a replica that has everything",
            deadline_seconds=LONG,
        )
        yield Watched(primary, replica, sentinel)


def _is_followed(primary: Node, sentinel: Node) -> bool:
    with primary.admin() as client, sentinel.admin() as watcher:
        followers = client.info("replication")
        known = watcher.execute_command("SENTINEL", "REPLICAS", SERVICE)
    state = followers.get("slave0", {})
    return bool(known) and isinstance(state, dict) and state.get("state") == "online"


@contextmanager
def cluster_of_three() -> Iterator[list[Node]]:
    """Three primaries that share the slots."""
    with server_folder("cluster") as folder, ExitStack() as stack:
        nodes, buses = [], []
        for number in range(3):
            port, bus = free_port(), free_port()
            lines = server_lines(
                "cluster-enabled yes",
                f"cluster-port {bus}",
                f"cluster-config-file {folder / f'nodes-{number}.conf'}",
                "cluster-node-timeout 2000",
                f"cluster-announce-ip {LOOPBACK}",
            )
            node = Node(folder / str(number), port, lines)
            stack.callback(node.stop)
            node.start()
            nodes.append(node)
            buses.append(bus)
        _join(nodes, buses)
        yield nodes


def _join(nodes: Sequence[Node], buses: Sequence[int]) -> None:
    share = (LAST_SLOT + 1) // len(nodes)
    for number, node in enumerate(nodes):
        last = LAST_SLOT if number == len(nodes) - 1 else (number + 1) * share - 1
        with node.admin() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * share, last)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    with nodes[0].admin() as client:
        for node, bus in zip(nodes[1:], buses[1:], strict=True):
            client.execute_command("CLUSTER", "MEET", LOOPBACK, node.port, bus)
    eventually(
        lambda: all(_is_whole(node) for node in nodes),
        what="the cluster is whole",
        deadline_seconds=LONG,
    )


def _is_whole(node: Node) -> bool:
    with node.admin() as client:
        told = client.execute_command("CLUSTER", "INFO")
    text = told.decode() if isinstance(told, bytes) else str(told)
    return "cluster_state:ok" in text or "'cluster_state': 'ok'" in text


@asynccontextmanager
async def tls_front(port: int, authority: Authority) -> AsyncIterator[int]:
    """A port that speaks TLS in front of one that does not."""
    pair = authority.server("valkey")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        onward = await asyncio.open_connection(LOOPBACK, port)
        try:
            await asyncio.gather(_pump(reader, onward[1]), _pump(onward[0], writer))
        finally:
            for one in (writer, onward[1]):
                one.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(serve, LOOPBACK, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()
