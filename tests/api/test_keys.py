"""Keys: a new one works at once, a revoked one stops, and a lost database makes none invalid."""

import asyncio

import psycopg
import pytest

from defib_api.keys import KeysUnknown, KeyTable
from defib_core.store.tokens import KnownToken, TokenKind, digest
from support.running_api import RunningApi, running_api
from support.tcp_proxy import proxy_to
from support.waiting import eventually_async


async def test_a_new_key_works_at_once(api: RunningApi) -> None:
    for number in range(3):
        key = await api.new_token(TokenKind.AGENT, f"new {number}")
        answer = await api.send({}, **{"X-API-Key": key})
        assert answer.status_code == 400, "the key is known, and the empty report is refused"


async def test_a_new_administrators_token_works_at_once(api: RunningApi) -> None:
    token = await api.new_token(TokenKind.ADMIN, "bob")
    answer = await api.http.get("/api/status", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200


async def test_a_revoked_key_stops_within_seconds(api: RunningApi) -> None:
    assert (await api.report()).status_code == 200
    await api.sql("UPDATE api_token SET revoked_at = defib_now() WHERE kind = 'agent'")

    async def is_refused() -> bool:
        return (await api.report()).status_code == 401

    await eventually_async(is_refused, what="the revoked key is refused", deadline_seconds=6)


async def test_an_expired_key_stops_within_seconds(api: RunningApi) -> None:
    await api.sql("UPDATE api_token SET expires_at = defib_now() WHERE kind = 'admin'")

    async def is_refused() -> bool:
        return (await api.get("/api/status")).status_code == 401

    await eventually_async(is_refused, what="the expired token is refused", deadline_seconds=6)


async def test_an_unknown_key_is_no_401_while_nobody_can_say(
    database_url: str, redis_url: str
) -> None:
    async with (
        proxy_to(database_url) as proxy,
        running_api(database_url, redis_url, through=proxy.in_front_of(database_url)) as api,
    ):
        await proxy.close()
        answer = await api.send({}, **{"X-API-Key": "unknown"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        shown = await api.http.get("/api/status", headers={"Authorization": "Bearer unknown"})
        assert (shown.status_code, shown.headers["retry-after"]) == (503, "5")


TOKEN = KnownToken(1, TokenKind.AGENT, "a", 1)


async def test_a_hundred_wrong_keys_at_once_load_the_table_once() -> None:
    loads = 0

    async def load() -> dict[bytes, KnownToken]:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0)
        return {digest("good"): TOKEN}

    table = KeyTable(load)
    found = await asyncio.gather(*(table.find(b"wrong%d" % n) for n in range(100)))
    assert found == [None] * 100
    assert loads == 1


async def test_known_keys_outlive_the_database() -> None:
    loads = 0

    async def load() -> dict[bytes, KnownToken]:
        nonlocal loads
        loads += 1
        if loads > 1:
            raise psycopg.OperationalError("gone")
        return {digest("good"): TOKEN}

    table = KeyTable(load)
    assert await table.find(b"good") == TOKEN
    with pytest.raises(KeysUnknown):
        await table.find(b"other")
    assert await table.find(b"good") == TOKEN
    assert loads == 2
