"""A POST leaves at once or not at all: places, a last moment, and reads that stand in no way."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

from defib_core.domain.actions import PowerStep
from defib_operator.proxmox import Accepted, Lane, ProxmoxClient, Refused
from defib_operator.proxmox.proxmoxer_wire import PLACES, READERS
from support.proxmox import RunningSimulator

TOO_LATE = Refused("not sent, no connection: it was too late to send it")


@asynccontextmanager
async def slow_way(to: str, until: float) -> AsyncIterator[str]:
    """A way to the simulator on which nothing passes before a moment of the monotonic clock."""
    there = urlsplit(to)
    tasks: list[asyncio.Task[None]] = []
    ways: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ways.append(writer)
        await asyncio.sleep(max(0.0, until - time.monotonic()))
        theirs = await asyncio.open_connection(there.hostname, there.port)
        tasks.append(asyncio.create_task(pump(reader, theirs[1])))
        tasks.append(asyncio.create_task(pump(theirs[0], writer)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        for way in ways:
            way.transport.abort()


async def test_once_its_moment_has_passed_nothing_is_sent(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    outcome = await client.post_power("pve1", 100, PowerStep.RESET, time.monotonic())
    assert outcome == TOO_LATE
    assert simulator.dc.posts == []


async def test_a_connection_that_comes_about_too_late_carries_nothing(
    simulator: RunningSimulator,
) -> None:
    simulator.guest()
    not_after = time.monotonic() + 0.5
    async with (
        slow_way(simulator.simulator.api_url, not_after + 0.2) as way,
        simulator.client(endpoints=(way,), connect_timeout=timedelta(seconds=30)) as client,
    ):
        outcome = await client.post_power("pve1", 100, PowerStep.RESET, not_after)
    assert outcome == TOO_LATE
    assert simulator.dc.posts == []


async def test_a_post_waits_for_no_read(simulator: RunningSimulator) -> None:
    simulator.guest()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as nobody_accepts:
        dead = f"https://127.0.0.1:{nobody_accepts.getsockname()[1]}"
        patience = timedelta(seconds=60)
        async with simulator.client(
            endpoints=(dead,), connect_timeout=patience, read_timeout=patience
        ) as client:
            reads = [
                asyncio.create_task(client.look("pve1", 100, lane))
                for lane in Lane
                for _ in range(2 * READERS[lane])
            ]
            await asyncio.sleep(0)
            outcome = await client.post_power("pve1", 100, PowerStep.RESET, time.monotonic())
            assert outcome == TOO_LATE, "it came to its turn at once"
            for read in reads:
                read.cancel()
            await asyncio.gather(*reads, return_exceptions=True)


async def test_places_are_few_and_given_back(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    taken = [client.place() for _ in range(PLACES)]
    for place in taken:
        await place.__aenter__()
    waiting = asyncio.create_task(client.place().__aenter__())
    await asyncio.sleep(0)
    assert not waiting.done()
    outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, Accepted), "who has a place needs no other"
    await taken[0].__aexit__(None, None, None)
    await asyncio.wait_for(waiting, 30)
