"""Several real Valkeys that know each other: a primary with replica and Sentinel, or a cluster.

Each lets an ACL user in who may do what Defib does and nothing else. The wheel's server speaks no
TLS: with an `Authority` they are Debian's Redis, which does, and all that they say to each other is
under it too.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
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
NEWER = "+client|setinfo "
"""Of it, what Redis knows since 7.2 only."""
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
    authority: Authority | None = None
    """Whose certificate it shows; without one it speaks no TLS."""
    record: ProcessRecord | None = field(default=None)

    def start(self) -> None:
        """Start it; returns when it answers."""
        file = self.folder / "valkey.conf"
        if not file.exists():  # what it writes into it itself stays
            self.folder.mkdir(parents=True, exist_ok=True)
            text = [f"bind {LOOPBACK}", *self._port_lines(), f'dir "{self.folder}"', *self.lines]
            file.write_text("\n".join(text) + "\n")
        program = valkey.find() if self.authority is None else self._redis()
        argv = (str(program), str(file), *self.arguments)
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
        ca = None if self.authority is None else str(self.authority.files.certificate)
        return redis.Redis(
            host=LOOPBACK,
            port=self.port,
            password=ADMIN,
            socket_timeout=5,
            retry=once,
            ssl=ca is not None,
            ssl_ca_certs=ca,
        )

    def _redis(self) -> Path:
        """Debian's Redis, of which redis-tools has the program, under another of its names."""
        found = shutil.which("redis-check-rdb")
        if found is None:
            pytest.fail(
                "no Redis that speaks TLS is here; get it with: apt-get install redis-tools"
            )
        server = self.folder / "redis-server"
        if not server.exists():
            server.symlink_to(found)
        return server

    def _port_lines(self) -> list[str]:
        if self.authority is None:
            return [f"port {self.port}"]
        pair = self.authority.server("redis")
        return [
            "port 0",
            f"tls-port {self.port}",
            f'tls-cert-file "{pair.certificate}"',
            f'tls-key-file "{pair.key}"',
            f'tls-ca-cert-file "{self.authority.files.certificate}"',
            "tls-auth-clients no",
            "tls-replication yes",
        ]

    def _missing(self) -> str | None:
        try:
            with self.admin() as client:
                client.ping()
        except redis.RedisError as error:
            return str(error)
        return None


def server_lines(authority: Authority | None, *more: str) -> list[str]:
    """The configuration of a server that keeps nothing and lets both users in."""
    may = MAY if authority is None else MAY.replace(NEWER, "")
    return [
        'save ""',
        "appendonly no",
        f"user default on >{ADMIN} ~* &* +@all",
        f"user {USER} on >{PASSWORD} ~defib:* resetchannels {may}",
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
        authority = self.sentinel.authority
        scheme, ca = ("redis", "") if authority is None else ("rediss", ca_of(authority))
        return (
            f"{scheme}+sentinel://{USER}:{PASSWORD}@{LOOPBACK}:1,{LOOPBACK}:{self.sentinel.port}"
            f"/{SERVICE}?sentinel_password={ADMIN}{ca}"
        )

    def primary_port(self) -> int:
        """Who the primary is, as the Sentinel sees it."""
        with self.sentinel.admin() as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])


def ca_of(authority: Authority) -> str:
    """What a URL says to have certificates of that authority trusted, and no other."""
    return f"&ssl_ca_certs={authority.files.certificate}"


@contextmanager
def watched_by_sentinel(authority: Authority | None = None) -> Iterator[Watched]:
    """All three for as long as the block lasts."""
    with server_folder("sentinel") as folder, ExitStack() as stack:
        quick = "repl-diskless-sync-delay 0"
        primary = Node(
            folder / "primary", free_port(), server_lines(authority, quick), authority=authority
        )
        follows = f"replicaof {LOOPBACK} {primary.port}"
        replica = Node(
            folder / "replica",
            free_port(),
            server_lines(authority, quick, follows),
            authority=authority,
        )
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
            authority,
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
def cluster_of_three(authority: Authority | None = None) -> Iterator[list[Node]]:
    """Three primaries that share the slots."""
    with server_folder("cluster") as folder, ExitStack() as stack:
        nodes, buses = [], []
        for number in range(3):
            port, bus = free_port(), free_port()
            lines = server_lines(
                authority,
                "cluster-enabled yes",
                f"cluster-port {bus}",
                f"cluster-config-file {folder / f'nodes-{number}.conf'}",
                "cluster-node-timeout 2000",
                f"cluster-announce-ip {LOOPBACK}",
                *(() if authority is None else ("tls-cluster yes",)),
            )
            node = Node(folder / str(number), port, lines, authority=authority)
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
