"""Redis by Sentinel, as a cluster, over TLS, under an ACL user: real servers, and one that dies."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.test_cache import redis_check
from defib_api import cache as cache_module
from defib_api.redis_client import client_of
from defib_core.config.settings import ApiSettings
from defib_dev.components.certificates import Authority
from defib_dev.components.ports import LOOPBACK, free_port
from support.folders import server_folder
from support.running_api import RunningApi, running_api
from support.valkeys import (
    PASSWORD,
    USER,
    Node,
    ca_of,
    cluster_of_three,
    server_lines,
    watched_by_sentinel,
)
from support.waiting import eventually_async

LONG = 60


@pytest.fixture(autouse=True)
def _patient_and_restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine under load may take its time to connect; after a failure Redis is asked at once."""
    monkeypatch.setattr(cache_module, "REST_SECONDS", 0.1)
    monkeypatch.setattr(cache_module, "CALL_SECONDS", 10.0)
    monkeypatch.setattr("defib_api.redis_client.SOCKET_SECONDS", 5.0)


@pytest.fixture
def guarded() -> Iterator[Node]:
    """One server with an ACL user."""
    with guarded_server(None) as node:
        yield node


@contextmanager
def guarded_server(authority: Authority | None) -> Iterator[Node]:
    with server_folder("acl") as folder:
        node = Node(folder / "valkey", free_port(), server_lines(authority), authority=authority)
        node.start()
        yield node
        node.stop()


@pytest.fixture(params=["plain", "TLS"])
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> Authority | None:
    """Both without TLS and with it, unless a test says which."""
    return None if request.param == "plain" else Authority.ensure(tmp_path / "authority")


async def redis_is(api: RunningApi, status: str) -> None:
    """Wait until /readyz says so of Redis; every read is answered meanwhile."""

    async def is_so() -> bool:
        assert (await api.get("/api/vms")).status_code == 200
        assert (await api.get("/api/status")).json()["vms"]["total"] == 1
        return (await redis_check(api))["status"] == status

    await eventually_async(is_so, what=f"redis is {status}", deadline_seconds=LONG)


async def copies(api: RunningApi, *nodes: Node) -> None:
    """Wait until the copies of both reads lie in the servers."""

    async def are_there() -> bool:
        for path in ("/api/vms", "/api/status"):
            assert (await api.get(path)).status_code == 200
        found: set[bytes] = set()
        for node in nodes:
            with node.admin() as client:
                found |= {key.rpartition(b":")[2] for key in client.keys("defib:*")}
        return found >= {b"vms", b"status"}

    await eventually_async(are_there, what="copies are in Redis", deadline_seconds=LONG)


async def test_sentinel_fails_over_and_every_read_is_answered(
    database_url: str, authority: Authority | None
) -> None:
    with watched_by_sentinel(authority) as servers:
        async with running_api(database_url, servers.url) as api:
            await api.report()
            await redis_is(api, "ok")
            await copies(api, servers.primary)

            servers.sentinel.stop()
            servers.primary.stop()
            await redis_is(api, "degraded")

            servers.sentinel.start()
            await redis_is(api, "ok")
            assert servers.primary_port() == servers.replica.port
            await copies(api, servers.replica)

            servers.sentinel.stop()
            assert (await api.get("/api/vms")).status_code == 200
            assert (await api.report()).status_code == 200


async def test_a_cluster_holds_the_copies_and_may_lose_a_node(
    database_url: str, authority: Authority | None
) -> None:
    with cluster_of_three(authority) as nodes:
        hosts = ",".join(f"{LOOPBACK}:{node.port}" for node in nodes)
        scheme, ca = ("redis", "") if authority is None else ("rediss", ca_of(authority))
        url = f"{scheme}+cluster://{USER}:{PASSWORD}@{LOOPBACK}:1,{hosts}{ca.replace('&', '?')}"
        async with running_api(database_url, url) as api:
            await api.report()
            await redis_is(api, "ok")
            await copies(api, *nodes)

            nodes[1].stop()
            await redis_is(api, "degraded")

            nodes[1].start()
            await redis_is(api, "ok")
            await copies(api, *nodes)


async def test_what_is_forgotten_lies_on_several_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "KEPT_MS", 600_000)
    with cluster_of_three() as nodes:
        url = f"redis+cluster://{USER}:{PASSWORD}@{LOOPBACK}:{nodes[0].port}"
        cache = cache_module.ReadCache(url, scope="test")
        names = [f"name-{number}" for number in range(12)]
        for name in names:
            assert await cache.get_or_build(name, _built) == b"built"
        held = kept(nodes)
        assert sum(held) == len(names)
        assert min(held) > 0
        await cache.forget(*names)
        assert cache.broken is None
        await cache.close()
        assert sum(kept(nodes)) == 0


def kept(nodes: list[Node]) -> list[int]:
    """How many copies each node holds."""
    held = []
    for node in nodes:
        with node.admin() as client:
            held.append(len(client.keys("defib:*")))
    return held


async def _built() -> bytes:
    return b"built"


@pytest.mark.parametrize("authority", ["TLS"], indirect=True)
async def test_over_tls_under_a_user_that_may_do_no_more(
    database_url: str, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority.ensure(tmp_path / "stranger")
    with guarded_server(authority) as guarded:
        place = f"{LOOPBACK}:{guarded.port}/0?ssl_ca_certs="
        url = f"rediss://{USER}:{PASSWORD}@{place}{authority.files.certificate}"
        async with running_api(database_url, url) as api:
            await api.report()
            await redis_is(api, "ok")
            await copies(api, guarded)

        url = f"rediss://{USER}:{PASSWORD}@{place}{stranger.files.certificate}"
        assert "certificate verify failed" in await why_broken(url)


@pytest.mark.parametrize("authority", ["TLS"], indirect=True)
async def test_sentinel_and_cluster_with_a_strangers_certificate_are_not_believed(
    authority: Authority, tmp_path: Path
) -> None:
    stranger = str(Authority.ensure(tmp_path / "stranger").files.certificate)
    trusted = str(authority.files.certificate)
    with watched_by_sentinel(authority) as servers:
        assert "certificate verify failed" in await why_broken(
            servers.url.replace(trusted, stranger)
        )
    with cluster_of_three(authority) as nodes:
        place = f"{LOOPBACK}:{nodes[0].port}?ssl_ca_certs={stranger}"
        url = f"rediss+cluster://{USER}:{PASSWORD}@{place}"
        assert "certificate verify failed" in await why_broken(url)


async def why_broken(url: str) -> str:
    cache = cache_module.ReadCache(url, scope="test")
    broken = await cache.check()
    await cache.close()
    assert broken is not None
    assert PASSWORD not in broken.why
    return broken.why.lower()


async def test_a_new_password_is_read_from_its_file(guarded: Node, tmp_path: Path) -> None:
    file = tmp_path / "url"
    place = f"{LOOPBACK}:{guarded.port}"
    file.write_text(f"redis://{USER}:{PASSWORD}@{place}\n")
    settings = ApiSettings.from_environment(
        {"DEFIB_DATABASE_URL": "postgresql://defib@db:5432/x", "DEFIB_REDIS_URL_FILE": str(file)}
    )
    cache = cache_module.ReadCache(
        settings.secret_now("redis_url"),
        scope="test",
        url_now=lambda: settings.secret_now("redis_url"),
    )

    async def answers() -> bool:
        return await cache.check() is None

    assert await answers()
    with guarded.admin() as client:
        client.execute_command("ACL", "SETUSER", USER, "resetpass", ">changed")
        client.execute_command("CLIENT", "KILL", "USER", USER)
    broken = await cache.check()
    assert broken is not None
    assert PASSWORD not in broken.why
    file.write_text(f"redis+sentinels://{USER}:changed@{place}\n")
    await eventually_async(_not(answers), what="a wrong URL changes nothing", deadline_seconds=LONG)
    file.write_text(f"redis://{USER}:changed@{place}\n")
    await eventually_async(answers, what="the new password is used", deadline_seconds=LONG)
    await cache.close()


def _not(ask: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    async def negated() -> bool:
        return not await ask()

    return negated


async def test_a_user_without_the_rights_is_degraded_and_costs_no_read(
    database_url: str, guarded: Node
) -> None:
    with guarded.admin() as client:
        client.execute_command(
            "ACL", "SETUSER", "poor", "on", f">{PASSWORD}", "~*", "+client|setname", "+ping"
        )
    url = f"redis://poor:{PASSWORD}@{LOOPBACK}:{guarded.port}"
    async with running_api(database_url, url) as api:
        await api.report()
        assert (await api.get("/api/vms")).json()[0]["vmid"] == "100"
        await redis_is(api, "degraded")
        assert "permissions" in (await redis_check(api))["message"]


def test_with_tls_sentinels_and_servers_are_both_asked_over_it() -> None:
    url = "rediss+sentinel://u:p@a:1,b:2/main?ssl_ca_certs=/ca.crt&sentinel_password=s"
    client = client_of(url)
    assert client.sentinel is not None
    pools = [one.connection_pool for one in client.sentinel.sentinels]
    for pool in (*pools, client.commands.connection_pool):
        assert "SSL" in pool.connection_class.__name__
        assert pool.connection_kwargs["ssl_ca_certs"] == "/ca.crt"
    assert [pool.connection_kwargs["password"] for pool in pools] == ["s", "s"]
    assert [pool.connection_kwargs["username"] for pool in pools] == [None, None]
    assert client.commands.connection_pool.connection_kwargs["username"] == "u"
