"""The doctor asks the API and Redis from outside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from defib_cli.doctor.finding import Level
from defib_cli.doctor.read_cache import examine_redis
from defib_cli.doctor.serving import examine_api
from support.running_api import RunningApi, run_sql, running_api


async def test_an_api_that_is_ready(database_url: str) -> None:
    async with running_api(database_url, None) as api:
        (found,) = await examine_api(f"http://127.0.0.1:{api.port}/", None)
    assert found.level is Level.OK


async def test_an_api_without_its_schema_says_what_is_missing(database_url: str) -> None:
    async with running_api(database_url, None) as api:
        await run_sql(database_url, "ALTER TABLE ingest_liveness RENAME TO away")
        found = await _unready(api)
    assert found.startswith("503: ingest: ")


async def _unready(api: RunningApi) -> str:
    """What is said once the API has noticed."""
    for _ in range(600):
        (found,) = await examine_api(f"http://127.0.0.1:{api.port}", None)
        if found.level is Level.FAIL:
            return found.message
        await asyncio.sleep(0.1)
    raise AssertionError("the API does not become unready")


@asynccontextmanager
async def somebody(answer: bytes) -> AsyncIterator[str]:
    """A server that is not Defib's."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
        b"no http\r\n\r\n",
    ],
    ids=["text", "other JSON", "404", "no HTTP"],
)
async def test_somebody_else_is_not_taken_for_defib(answer: bytes) -> None:
    async with somebody(answer) as url:
        (found,) = await examine_api(url, None)
    assert found.level is Level.FAIL


@pytest.mark.parametrize("url", ["ftp://example.com", "defib.example.com"])
async def test_what_is_no_address_is_not_asked(url: str) -> None:
    (found,) = await examine_api(url, None)
    assert (found.level, found.message) == (Level.FAIL, f"{url} is no address")


async def test_redis_that_answers_and_none_at_all(redis_url: str) -> None:
    assert [one.level for one in await examine_redis(redis_url)] == [Level.OK]
    assert [one.level for one in await examine_redis(None)] == [Level.OK]


async def test_an_address_that_is_none_of_redis() -> None:
    (found,) = await examine_redis("http://example.com")
    assert found.level is Level.FAIL
