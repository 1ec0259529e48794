"""Reports on bare sockets: slow, oversize, broken off, pipelined, in pieces."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from defib_api import protocol
from defib_api.ingest import body as body_module
from support.running_api import SEED_REPORT, RunningApi
from support.waiting import eventually_async

REPORT = json.dumps(dict(SEED_REPORT)).encode()


@asynccontextmanager
async def connected(
    api: RunningApi,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the API."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def head(api: RunningApi, length: int | None, *more: str) -> bytes:
    """The head of a report."""
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = [
        "POST /api/health/report HTTP/1.1",
        "Host: api",
        f"X-API-Key: {api.agent_key}",
        "Content-Type: application/json",
        size,
        *more,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes, dict[str, object]]:
    """Read one answer: its status, its head and its JSON."""
    top = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 15)
    length = next(
        int(line.split(b":")[1])
        for line in top.lower().splitlines()
        if line.startswith(b"content-length:")
    )
    content = await reader.readexactly(length)
    return int(top.split()[1]), top.lower(), json.loads(content)


async def closed(reader: asyncio.StreamReader) -> bool:
    """True once the server closed the connection."""
    try:
        return await asyncio.wait_for(reader.read(1), 15) == b""
    except ConnectionResetError:
        return True


async def test_a_report_in_many_pieces_is_one_report(shared_api: RunningApi) -> None:
    async with connected(shared_api) as (reader, writer):
        whole = head(shared_api, len(REPORT)) + REPORT
        for start in range(0, len(whole), 20):
            writer.write(whole[start : start + 20])
            await writer.drain()
        assert (await answered(reader))[0] == 200


async def test_a_chunked_report_is_a_report(shared_api: RunningApi) -> None:
    async with connected(shared_api) as (reader, writer):
        writer.write(head(shared_api, None))
        for part in (REPORT[:10], REPORT[10:]):
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        writer.write(b"0\r\n\r\n")
        assert (await answered(reader))[0] == 200


async def test_several_reports_on_one_connection(shared_api: RunningApi) -> None:
    async with connected(shared_api) as (reader, writer):
        writer.write((head(shared_api, len(REPORT)) + REPORT) * 3)
        for _ in range(3):
            assert (await answered(reader))[0] == 200


async def test_a_client_that_waits_for_permission_gets_it(shared_api: RunningApi) -> None:
    async with connected(shared_api) as (reader, writer):
        writer.write(head(shared_api, len(REPORT), "Expect: 100-continue"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(REPORT)
        assert (await answered(reader))[0] == 200


async def test_a_wrong_key_is_refused_before_the_body_is_asked_for(
    shared_api: RunningApi,
) -> None:
    async with connected(shared_api) as (reader, writer):
        asked = head(shared_api, 10_000_000, "Expect: 100-continue")
        writer.write(asked.replace(shared_api.agent_key.encode(), b"wrong"))
        assert (await answered(reader))[0] == 401


@pytest.mark.parametrize("declared", [True, False])
async def test_ten_megabytes_are_a_413_that_the_sender_can_read(
    shared_api: RunningApi, declared: bool
) -> None:
    size = 10_000_000
    async with connected(shared_api) as (reader, writer):
        writer.write(head(shared_api, size if declared else None))
        piece = b"x" * 50_000
        framed = piece if declared else b"%x\r\n%s\r\n" % (len(piece), piece)
        for _ in range(size // len(piece)):
            writer.write(framed)
            await writer.drain()
        if not declared:
            writer.write(b"0\r\n\r\n")
        status, top, body = await answered(reader)
        assert (status, body["success"]) == (413, False)
        assert "16384 bytes" in str(body["message"])
        assert b"connection: close" in top
        assert await closed(reader)


async def test_a_body_without_end_is_cut_off(
    shared_api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_module, "LINGER_BYTES", 200_000)
    async with connected(shared_api) as (_, writer):
        writer.write(head(shared_api, None))

        async def is_cut() -> bool:
            writer.write(b"c350\r\n" + b"x" * 50_000 + b"\r\n")
            try:
                await writer.drain()
            except ConnectionError:
                return True
            return False

        await eventually_async(is_cut, what="the endless body is cut off")


async def test_a_body_that_does_not_come_is_a_408(
    shared_api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_module, "DEADLINE_SECONDS", 0.2)
    async with connected(shared_api) as (reader, writer):
        writer.write(head(shared_api, len(REPORT)) + REPORT[:20])
        status, top, body = await answered(reader)
        assert (status, body["success"]) == (408, False)
        assert b"connection: close" in top
        assert await closed(reader)


async def test_a_body_that_drips_is_a_408(
    shared_api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_module, "DEADLINE_SECONDS", 0.3)
    async with connected(shared_api) as (reader, writer):
        writer.write(head(shared_api, 100_000 // 10))
        answer = asyncio.create_task(answered(reader))

        async def drip() -> bool:
            if not answer.done():
                writer.write(b" ")
            return answer.done()

        await eventually_async(drip, what="the dripping body is refused")
        assert (await answer)[0] == 408


async def test_a_head_that_does_not_end_is_cut_off(
    shared_api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    async with connected(shared_api) as (reader, writer):
        writer.write(b"POST /api/health/report HTTP/1.1\r\nHost: api\r\n")
        assert await closed(reader)


async def test_a_second_head_that_does_not_end_is_cut_off(
    shared_api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    async with connected(shared_api) as (reader, writer):
        writer.write(head(shared_api, len(REPORT)) + REPORT)
        assert (await answered(reader))[0] == 200
        writer.write(b"POST /api/health/report HTTP/1.1\r\nHost: api\r\n")
        assert await closed(reader)


async def test_an_old_client_is_answered_and_its_connection_closed(shared_api: RunningApi) -> None:
    async with connected(shared_api) as (reader, writer):
        writer.write(head(shared_api, len(REPORT)).replace(b"HTTP/1.1", b"HTTP/1.0") + REPORT)
        status, top, _ = await answered(reader)
        assert (status, b"connection: close" in top) == (200, True)
        assert await closed(reader)


async def test_a_connection_that_says_nothing_is_closed(
    shared_api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    async with connected(shared_api) as (reader, _):
        assert await closed(reader)


async def test_a_head_that_is_too_long_is_a_400(shared_api: RunningApi) -> None:
    async with connected(shared_api) as (reader, writer):
        writer.write(b"POST /api/health/report HTTP/1.1\r\nHost: api\r\n")
        filler = b"X-Filler: " + b"x" * 1000 + b"\r\n"
        for _ in range(protocol.HEAD_BYTES // len(filler) + 2):
            writer.write(filler)
            await asyncio.sleep(0)
        top = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 15)
        assert top.startswith(b"HTTP/1.1 400")
        assert b"too large" in await reader.read(200)


async def test_a_client_that_hangs_up_midway_harms_nobody(shared_api: RunningApi) -> None:
    for _ in range(5):
        async with connected(shared_api) as (_, writer):
            writer.write(head(shared_api, len(REPORT)) + REPORT[:20])
            await writer.drain()
    assert (await shared_api.report()).status_code == 200


async def test_a_report_whose_sender_hung_up_is_stored_all_the_same(
    shared_api: RunningApi,
) -> None:
    async with connected(shared_api) as (_, writer):
        writer.write(head(shared_api, len(REPORT)) + REPORT.replace(b'"100"', b'"777"'))
        await writer.drain()

        async def is_stored() -> bool:
            return await shared_api.sql("SELECT 1 FROM vm WHERE vmid = 777") == [(1,)]

        await eventually_async(is_stored, what="the report is stored")


async def test_rubbish_instead_of_http_is_a_400(shared_api: RunningApi) -> None:
    async with connected(shared_api) as (reader, writer):
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert (await asyncio.wait_for(reader.read(20), 15)).startswith(b"HTTP/1.1 400")


async def test_a_reset_connection_leaves_no_timer_behind(shared_api: RunningApi) -> None:
    server = shared_api
    async with connected(server) as (reader, writer):
        writer.write(head(server, len(REPORT)) + REPORT)
        assert (await answered(reader))[0] == 200
        before = _waiting_timers()
        assert before >= 1
        # Zero seconds of lingering make the close a reset.
        there = writer.get_extra_info("socket")
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def is_gone() -> bool:
        return _waiting_timers() < before

    await eventually_async(is_gone, what="the keep-alive timer is cancelled", deadline_seconds=2)


def _waiting_timers() -> int:
    """Timers of kept connections that are still to fire."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # CPython's own
    return sum(
        1
        for timer in scheduled
        if not timer.cancelled() and "timeout_keep_alive_handler" in repr(timer)
    )
