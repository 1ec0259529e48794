"""Makes the client of Redis: of one server, of the primary that Sentinel names, or of a cluster.

With `cache.py` the only module that knows Redis. A client connects when it is first used, tries
each command once, and finds a new primary by itself: cache.py sees to when it tries again.
"""

from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from defib_core.config.redis_url import RedisAddress, RedisKind, read_redis_url

SOCKET_SECONDS = 0.2
NAME = "defib-api"


@dataclass(frozen=True, slots=True)
class RedisClient:
    """Takes GET, SET, DEL and PING."""

    commands: Redis
    sentinel: Sentinel | None = None

    async def aclose(self) -> None:
        """Let the connections go."""
        await self.commands.aclose()
        if self.sentinel is not None:
            await self.sentinel.aclose()


def client_of(url: str) -> RedisClient:
    """Make the client for a URL; raises ValueError."""
    address = read_redis_url(url)
    match address.kind:
        case RedisKind.SINGLE:
            return RedisClient(Redis.from_url(address.plain, **_patience()))
        case RedisKind.SENTINEL:
            return _of_sentinel(address)
        case RedisKind.CLUSTER:
            return _of_cluster(address)


def _of_sentinel(address: RedisAddress) -> RedisClient:
    options = {**_options(address), **_patience()}
    user, password = address.sentinel_login
    tls = {name: value for name, value in options.items() if name.startswith(("ssl", "socket_"))}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        address.hosts,
        sentinel_kwargs={**tls, **_patience(), "username": user, "password": password},
        **options,
    )
    assert address.service is not None
    return RedisClient(cast("Redis", sentinel.master_for(address.service)), sentinel)


def _of_cluster(address: RedisAddress) -> RedisClient:
    options = {**_options(address), **_patience()}
    options.pop("db", None)
    nodes = [ClusterNode(host, port) for host, port in address.hosts]
    cluster = RedisCluster(startup_nodes=nodes, **options)
    # No Redis by its type, and one by the four commands that are used of it.
    return RedisClient(cast("Redis", cluster))


def _options(address: RedisAddress) -> dict[str, Any]:
    """Credentials, database and options, as the client takes them; hosts are told apart."""
    found: dict[str, Any] = dict(parse_url(address.plain))
    is_tls = found.pop("connection_class", None) is SSLConnection
    return {
        **{name: value for name, value in found.items() if name not in {"host", "port"}},
        **({"ssl": True} if is_tls else {}),
    }


def _patience() -> dict[str, Any]:
    return {
        "protocol": 2,
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "client_name": NAME,
    }
