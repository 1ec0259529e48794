"""Answers made before they are asked for: made once, compressed once, not sent to who has them."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from fastapi import Request

from defib_api import fresh as fresh_module
from defib_api.fresh import FRESH_SECONDS, USABLE_SECONDS, Fresh
from defib_api.prepared import Prepared
from support.running_api import RunningApi, running_api
from support.tcp_proxy import TcpProxy, proxy_to
from support.waiting import eventually_async

BODY = b'{"vms": "' + b"x" * 5000 + b'"}'


def request(**headers: str) -> Request:
    """A request with these headers."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw})


# tags


@pytest.mark.parametrize(
    "known", ["{tag}", "{bare}", '"other", {tag}', '{bare} , W/"other"', " {tag}"]
)
async def test_who_has_it_is_told_so_and_sent_nothing(known: str) -> None:
    made = Prepared(BODY)
    bare = made.etag.removeprefix("W/")
    answer = await made.answer(request(if_none_match=known.format(tag=made.etag, bare=bare)))
    assert (answer.status_code, bytes(answer.body)) == (304, b"")
    assert answer.headers["etag"] == made.etag


@pytest.mark.parametrize("known", ["", '"other"', "W/", "*x"])
async def test_who_has_something_else_is_sent_it(known: str) -> None:
    answer = await Prepared(BODY).answer(request(if_none_match=known))
    assert (answer.status_code, bytes(answer.body)) == (200, BODY)


def test_the_same_bytes_have_the_same_tag_at_every_replica() -> None:
    assert Prepared(BODY).etag == Prepared(bytes(BODY)).etag
    assert Prepared(BODY).etag != Prepared(BODY + b" ").etag
    assert Prepared(BODY, tag=b"t").etag == Prepared(b"with a time", tag=b"t").etag


# compression


@pytest.mark.parametrize("takes", ["gzip", "br, gzip;q=0.5", "*", "GZIP"])
async def test_it_is_compressed_for_who_takes_that(takes: str) -> None:
    answer = await Prepared(BODY).answer(request(accept_encoding=takes))
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(bytes(answer.body)) == BODY
    assert "accept-encoding" in answer.headers["vary"].lower()


@pytest.mark.parametrize("takes", ["", "identity", "br", "gzip;q=0", "gzip;q=0.0", "*;q=0"])
async def test_it_is_sent_as_it_is_to_who_does_not(takes: str) -> None:
    answer = await Prepared(BODY).answer(request(accept_encoding=takes))
    assert "content-encoding" not in answer.headers
    assert bytes(answer.body) == BODY


async def test_what_is_small_is_not_worth_compressing() -> None:
    answer = await Prepared(b"{}").answer(request(accept_encoding="gzip"))
    assert "content-encoding" not in answer.headers


async def test_a_crowd_has_it_compressed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = 0

    def compress(body: bytes, level: int, *, mtime: int) -> bytes:
        nonlocal packed
        packed += 1
        return b"packed"

    monkeypatch.setattr(gzip, "compress", compress)
    made = Prepared(BODY)
    answers = await asyncio.gather(
        *(made.answer(request(accept_encoding="gzip")) for _ in range(50))
    )
    assert {bytes(one.body) for one in answers} == {b"packed"}
    assert packed == 1


# stampedes


class Clock:
    """The monotonic clock that the code under test sees."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """Say the time."""
        return self.now


class Made:
    """Numbers, one higher each time; made when `go` is set, and failing where `fails`."""

    def __init__(self) -> None:
        self.times = 0
        self.fails = False
        self.go = asyncio.Event()
        self.go.set()

    async def make(self) -> int:
        """Make the next."""
        self.times += 1
        number = self.times
        await self.go.wait()
        if self.fails:
            raise ConnectionError("gone")
        return number


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the test moves."""
    made = Clock()
    monkeypatch.setattr(fresh_module, "time", made)
    return made


@pytest.fixture
def made() -> Made:
    """What is made."""
    return Made()


async def test_a_crowd_that_finds_nothing_waits_for_one_making(clock: Clock, made: Made) -> None:
    kept = Fresh(made.make)
    assert await asyncio.gather(*(kept.get() for _ in range(100))) == [1] * 100
    clock.now += FRESH_SECONDS / 2
    assert await kept.get() == 1
    assert made.times == 1


async def test_what_is_a_little_old_is_given_out_at_once_and_made_anew_behind(
    clock: Clock, made: Made
) -> None:
    kept = Fresh(made.make)
    await kept.get()
    clock.now += FRESH_SECONDS + 0.1
    made.go.clear()
    assert await asyncio.gather(*(kept.get() for _ in range(100))) == [1] * 100
    made.go.set()

    async def is_new() -> bool:
        return await kept.get() == 2

    await eventually_async(is_new, what="the new one is given out")
    assert made.times == 2


async def test_what_is_too_old_is_waited_for(clock: Clock, made: Made) -> None:
    kept = Fresh(made.make)
    await kept.get()
    clock.now += FRESH_SECONDS + USABLE_SECONDS + 0.1
    assert await asyncio.gather(*(kept.get() for _ in range(100))) == [2] * 100


async def test_while_it_cannot_be_made_the_last_one_is_given_out_until_it_is_too_old(
    clock: Clock, made: Made
) -> None:
    kept = Fresh(made.make)
    await kept.get()
    made.fails = True
    clock.now += FRESH_SECONDS + 0.1
    assert await kept.get() == 1
    clock.now += USABLE_SECONDS
    with pytest.raises(ConnectionError):
        await kept.get()
    made.fails = False
    assert await kept.get() > 1


async def test_one_that_was_under_way_when_all_was_forgotten_is_not_kept(
    clock: Clock, made: Made
) -> None:
    kept = Fresh(made.make)
    made.go.clear()
    before = asyncio.create_task(kept.get())
    await asyncio.sleep(0)
    kept.forget()
    made.go.set()
    assert await before == 1
    assert await kept.get() == 2, clock.now


# over the API, with Redis and after it has gone


@pytest.fixture
async def redis_proxy(redis_url: str) -> AsyncIterator[TcpProxy]:
    """A way to Redis that the test can cut."""
    async with proxy_to(redis_url) as proxy:
        yield proxy


async def test_a_fleet_at_rest_is_a_304_with_redis_and_without(
    database_url: str, redis_url: str, redis_proxy: TcpProxy
) -> None:
    through = redis_proxy.in_front_of(redis_url)
    async with running_api(database_url, through) as api:
        await api.report()
        for is_there in (True, False):
            if not is_there:
                await redis_proxy.close()
            for path in ("/api/fleet", "/api/vms", "/api/nodes"):
                await _is_kept(api, path)


async def _is_kept(api: RunningApi, path: str) -> None:
    async def is_not_sent_again() -> bool:
        """The report may be on its way into the answer still."""
        first = await api.get(path)
        assert first.status_code == 200, first.text
        known = {**api.admin, "If-None-Match": first.headers["etag"]}
        again = await api.http.get(path, headers=known)
        return (again.status_code, again.content) == (304, b"")

    await eventually_async(is_not_sent_again, what=f"{path} is a 304", deadline_seconds=30)
    other = await api.http.get(path, headers={**api.admin, "If-None-Match": '"other"'})
    assert other.status_code == 200
