"""Makes the client of Redis: of one server, of the primary that Sentinel names, or of a cluster.

With `cache.py` the only module that knows Redis. A client connects when it is first used, tries
each command once, and finds a new primary by itself: cache.py sees to when it tries again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

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
    login = {"username": user, "password": password}
    sentinel = _Sentinels(address.hosts, {**tls, **_patience(), **login}, options)
    assert address.service is not None
    return RedisClient(cast("Redis", sentinel.master_for(address.service)), sentinel)


class _Watcher(Redis):
    """One Sentinel, and what came of it when it was asked last."""

    said = "was not asked"

    async def sentinel_masters(self, **options: Any) -> Any:  # noqa: ANN401 - the library's
        """Ask for every primary that it watches."""
        self.said = "knows no such primary, or takes it for down"
        try:
            return await super().sentinel_masters(**options)
        except (RedisConnectionError, RedisTimeoutError) as error:
            self.said = str(error)
            raise

    def __str__(self) -> str:
        where = self.connection_pool.connection_kwargs
        return f"{where['host']}:{where['port']} {self.said}"


class _Sentinels(Sentinel):
    """The Sentinels; where none names a primary, the error says what came of each."""

    def __init__(
        self, hosts: Sequence[tuple[str, int]], own: dict[str, Any], servers: dict[str, Any]
    ) -> None:
        super().__init__([], sentinel_kwargs=own, **servers)  # type: ignore[no-untyped-call]
        self.sentinels = [_Watcher(host=host, port=port, **own) for host, port in hosts]

    async def discover_master(self, service_name: str) -> Any:  # noqa: ANN401 - the library's
        """Find the primary's address. Raises MasterNotFoundError."""
        try:
            return await super().discover_master(service_name)
        except MasterNotFoundError as error:
            told = "; ".join(str(one) for one in self.sentinels)
            raise MasterNotFoundError(
                f"no Sentinel names the primary of {service_name!r}: {told}"
            ) from error


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
