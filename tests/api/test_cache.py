"""The read cache: it saves PostgreSQL work, it is a second old at most, and nobody misses it."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import redis as sync_redis

from defib_api import cache as cache_module
from defib_api.cache import ReadCache
from defib_api.redis_client import RedisClient
from support.logged import Logged
from support.running_api import RunningApi, running_api
from support.tcp_proxy import TcpProxy, proxy_to
from support.waiting import eventually_async


@pytest.fixture
async def redis_proxy(redis_url: str) -> AsyncIterator[TcpProxy]:
    """A way to Redis that the test can cut."""
    async with proxy_to(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def cut(
    database_url: str, redis_url: str, redis_proxy: TcpProxy
) -> AsyncIterator[RunningApi]:
    """An API that reaches Redis through the proxy."""
    async with running_api(database_url, redis_proxy.in_front_of(redis_url)) as api:
        await api.report()

        async def is_ok() -> bool:
            return (await redis_check(api))["status"] == "ok"

        await eventually_async(is_ok, what="redis is ok", deadline_seconds=60)
        yield api


async def redis_check(api: RunningApi) -> dict[str, str]:
    """What /readyz says of Redis, which must never cost the readiness."""
    answer = await api.http.get("/readyz")
    assert answer.status_code == 200
    found: dict[str, str] = answer.json()["checks"]["redis"]
    return found


async def test_a_second_read_comes_from_the_cache(api: RunningApi, redis_url: str) -> None:
    await api.report()
    first = await api.get("/api/vms")
    await api.sql("UPDATE vm SET hostname = 'changed'")
    assert (await api.get("/api/vms")).json() == first.json()
    keys = sync_redis.Redis.from_url(redis_url).keys("defib:*:vms")
    assert len(keys) == 1

    async def changed() -> bool:
        return (await api.get("/api/vms")).json()[0]["hostname"] == "changed"

    await eventually_async(changed, what="the copy is gone after some seconds", deadline_seconds=30)


async def test_all_reads_are_answered_when_redis_goes_away_midway(
    cut: RunningApi, redis_proxy: TcpProxy, logged: Logged
) -> None:
    await redis_proxy.close()
    for path in ("/api/vms", "/api/status", "/api/vms"):
        answer = await cut.get(path)
        assert answer.status_code == 200
    assert (await cut.get("/api/vms")).json()[0]["vmid"] == "100"
    assert (await cut.report()).status_code == 200
    check = await redis_check(cut)
    assert check["status"] == "degraded"
    assert check["since"]
    assert check["message"]
    away = [line for line in logged.lines("warning") if line["event"] == "cache.away"]
    assert len(away) == 1, "said once, not for each read"


async def test_the_cache_is_used_again_once_redis_is_back(
    cut: RunningApi, redis_proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "REST_SECONDS", 0.1)
    await redis_proxy.close()
    assert (await redis_check(cut))["status"] == "degraded"
    await redis_proxy.open()

    async def is_back() -> bool:
        return (await redis_check(cut))["status"] == "ok"

    await eventually_async(is_back, what="redis is ok again", deadline_seconds=60)


async def test_a_redis_that_falls_silent_costs_half_a_second_once(
    cut: RunningApi, redis_proxy: TcpProxy
) -> None:
    await cut.get("/api/vms")
    redis_proxy.freeze()
    begun = time.monotonic()
    for _ in range(10):
        assert (await cut.get("/api/status")).status_code == 200
    assert time.monotonic() - begun < 2


async def test_without_redis_everything_is_answered(database_url: str) -> None:
    async with running_api(database_url, None) as api:
        await api.report()
        assert (await api.get("/api/vms")).json()[0]["vmid"] == "100"
        assert (await api.get("/api/status")).json()["vms"]["total"] == 1
        assert (await redis_check(api))["status"] == "off"


@pytest.mark.parametrize(
    "rubbish", [b"", b"[]", b"defib1:", b"defib1:" + b"x" * 16 + b"[]", b"\x00" * 5000]
)
async def test_a_copy_that_is_not_ours_or_not_whole_is_ignored(
    api: RunningApi, redis_url: str, rubbish: bytes
) -> None:
    await api.report()
    await api.get("/api/vms")
    client = sync_redis.Redis.from_url(redis_url)
    (key,) = await _keys(api, client)
    client.set(key, rubbish)
    assert (await api.get("/api/vms")).json()[0]["vmid"] == "100"


async def _keys(api: RunningApi, client: sync_redis.Redis) -> list[bytes]:
    async def find() -> list[bytes]:
        await api.get("/api/vms")
        found: list[bytes] = client.keys("defib:*:vms")  # type: ignore[assignment]  # sync client
        return found

    return await eventually_async(find, what="the copy is there")


async def test_a_value_of_another_type_is_ignored(api: RunningApi, redis_url: str) -> None:
    await api.report()
    client = sync_redis.Redis.from_url(redis_url)
    (key,) = await _keys(api, client)
    client.delete(key)
    client.lpush(key, b"list")
    assert (await api.get("/api/vms")).json()[0]["vmid"] == "100"


async def test_two_installations_on_one_redis_do_not_see_each_other(
    api: RunningApi, module_database_url: str, redis_url: str
) -> None:
    await api.report()
    assert len((await api.get("/api/vms")).json()) == 1
    async with running_api(module_database_url, redis_url) as other:
        assert (await other.get("/api/vms")).json() == []


async def test_a_mistake_of_the_client_itself_costs_no_read() -> None:
    async def build() -> bytes:
        return b"built"

    cache = ReadCache("redis://127.0.0.1:1", scope="test")
    cache._client = RedisClient(object())  # type: ignore[arg-type]  # it knows no command
    assert await cache.get_or_build("x", build) == b"built"
    assert cache.broken is not None
    assert "no attribute" in cache.broken.why


async def test_many_readers_at_once_build_once() -> None:
    builds = 0

    async def build() -> bytes:
        nonlocal builds
        builds += 1
        await asyncio.sleep(0)
        return b"built"

    cache = ReadCache(None, scope="test")
    assert (
        await asyncio.gather(*(cache.get_or_build("x", build) for _ in range(50)))
        == [b"built"] * 50
    )
    assert builds == 1


async def test_a_build_that_fails_fails_those_who_wait_and_not_the_next() -> None:
    async def fails() -> bytes:
        raise ConnectionError("gone")

    async def works() -> bytes:
        return b"built"

    cache = ReadCache(None, scope="test")
    results = await asyncio.gather(
        *(cache.get_or_build("x", fails) for _ in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [ConnectionError] * 3
    assert await cache.get_or_build("x", works) == b"built"


async def test_a_reader_who_hangs_up_does_not_cancel_the_others() -> None:
    go = asyncio.Event()

    async def build() -> bytes:
        await go.wait()
        return b"built"

    cache = ReadCache(None, scope="test")
    impatient = asyncio.create_task(cache.get_or_build("x", build))
    patient = asyncio.create_task(cache.get_or_build("x", build))
    await asyncio.sleep(0)
    impatient.cancel()
    go.set()
    assert await patient == b"built"
