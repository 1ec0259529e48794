"""A POST leaves at once or not at all: places, a last moment, and reads that stand in no way."""

import asyncio
import socket
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from defib_core.domain.actions import PowerStep
from defib_operator.proxmox import Accepted, Lane, ProxmoxClient, Refused, tls
from defib_operator.proxmox.proxmoxer_wire import PLACES, READERS
from support.proxmox import RunningSimulator

TOO_LATE = Refused("not sent, no connection: it was too late to send it")


async def test_once_its_moment_has_passed_nothing_is_sent(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    outcome = await client.post_power("pve1", 100, PowerStep.RESET, time.monotonic())
    assert outcome == TOO_LATE
    assert simulator.dc.posts == []


async def test_a_connection_that_comes_about_too_late_carries_nothing(
    simulator: RunningSimulator, client: ProxmoxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.guest()
    before_and_after_the_handshake = iter((1.0, 3.0))
    clock = SimpleNamespace(monotonic=lambda: next(before_and_after_the_handshake))
    monkeypatch.setattr(tls, "time", clock)
    assert await client.post_power("pve1", 100, PowerStep.RESET, 2.0) == TOO_LATE
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
