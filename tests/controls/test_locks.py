"""Controls take the locks of many VMs in the order in which heartbeats do: nobody deadlocks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from defib_core.config.system_config import MaintenanceSpec, SystemConfigSpec
from defib_core.domain.actions import Source
from defib_core.store import controls, mirror, registry, sweep
from defib_core.store.clock import database_now
from defib_core.store.controls import Who, WindowWish
from defib_core.store.engine import make_engine
from support.stored import NAMESPACE, config_key, vm_object
from support.waiting import eventually_async

KIM = Who("kim", Source.API)
VMS = 50
RACK = {"rack": "r7"}

Control = Callable[[AsyncEngine], Awaitable[None]]


@pytest.fixture
async def running(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A database whose clock runs, with many VMs in one rack."""
    engine = make_engine(database_url, application="tests")
    async with engine.begin() as connection:
        await registry.ensure_defaults(connection, NAMESPACE)
        now = await database_now(connection)
        for number in range(VMS):
            await mirror.mirror_vm(connection, vm_object(100 + number, labels=RACK), now)
        # The rows lie in the table in another order than their ids.
        await connection.execute(text("CREATE INDEX by_chance ON vm_state (md5(vm_id::text))"))
        await connection.execute(text("CLUSTER vm_state USING by_chance"))
    yield engine
    await engine.dispose()


async def ids(connection: AsyncConnection) -> list[int]:
    return [row.id for row in await connection.execute(text("SELECT id FROM vm"))]


async def open_one(engine: AsyncEngine, lasts: timedelta) -> int:
    async with engine.begin() as connection:
        now = await database_now(connection)
        wish = WindowWish("w", RACK, "x", now - timedelta(seconds=1), now + lasts)
        return await controls.open_window(connection, KIM, wish, now)


async def close_by_hand(engine: AsyncEngine) -> None:
    window_id = await open_one(engine, timedelta(hours=1))
    async with engine.begin() as connection:
        assert await controls.close_window(
            connection, KIM, window_id, await database_now(connection)
        )


async def let_the_sweep_close(engine: AsyncEngine) -> None:
    await open_one(engine, timedelta(milliseconds=1))
    async with engine.begin() as connection:
        await sweep.change_states(connection, [], await database_now(connection))
        assert await controls.windows(connection) == []


async def in_the_spec(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        now = await database_now(connection)
        window = MaintenanceSpec(
            name="w",
            match_labels=RACK,
            starts_at=now - timedelta(seconds=1),
            ends_at=now + timedelta(hours=1),
            reason="x",
        )
        spec = SystemConfigSpec(maintenance=(window,))
        await mirror.mirror_config(connection, config_key(), spec, now)
    async with engine.begin() as connection:
        now = await database_now(connection)
        await mirror.mirror_config(connection, config_key(), SystemConfigSpec(), now)


async def is_blocked(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        waiting = await connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
        return bool(waiting.scalar_one())


@pytest.mark.parametrize("control", [close_by_hand, let_the_sweep_close, in_the_spec])
async def test_a_window_closes_by_locking_its_vms_in_the_order_of_their_ids(
    running: AsyncEngine, control: Control
) -> None:
    """Who waits for the first VM holds no other yet: so heartbeats, which go the same way, pass."""
    async with running.connect() as beat:
        await beat.execute(
            text("SELECT FROM vm_state WHERE vm_id = (SELECT min(id) FROM vm) FOR UPDATE")
        )
        closing = asyncio.ensure_future(control(running))
        await eventually_async(lambda: is_blocked(running), what="it waits for the first VM")

        await beat.execute(text("SELECT FROM vm_state FOR UPDATE NOWAIT"))
        await beat.execute(text("SELECT FROM maintenance FOR UPDATE NOWAIT"))

        await beat.rollback()
        await closing


async def test_a_pause_is_ended_by_locking_the_vm_before_the_pause(running: AsyncEngine) -> None:
    async with running.begin() as connection:
        vm_id = (await ids(connection))[0]
        now = await database_now(connection)
        assert await controls.pause(connection, KIM, vm_id, "x", None, now)

    async def unpause() -> bool:
        async with running.begin() as connection:
            now = await database_now(connection)
            return await controls.unpause(connection, KIM, vm_id, now)

    async with running.connect() as sweeping:
        await sweeping.execute(
            text("SELECT FROM vm_state WHERE vm_id = :vm_id FOR UPDATE"), {"vm_id": vm_id}
        )
        ending = asyncio.create_task(unpause())
        await eventually_async(lambda: is_blocked(running), what="it waits for the VM")

        await sweeping.execute(text("SELECT FROM pause FOR UPDATE NOWAIT"))

        await sweeping.rollback()
        assert await ending


async def test_two_people_who_pause_one_vm_at_once_leave_one_pause(running: AsyncEngine) -> None:
    async with running.connect() as connection:
        vm_id = (await ids(connection))[0]

    async def pause(reason: str) -> bool:
        async with running.begin() as connection:
            now = await database_now(connection)
            return await controls.pause(connection, KIM, vm_id, reason, None, now)

    assert await asyncio.gather(*(pause(f"reason {n}") for n in range(8))) == [True] * 8
    async with running.connect() as connection:
        pauses = await connection.execute(text("SELECT ended_at FROM pause"))
        assert [row.ended_at is None for row in pauses].count(True) == 1


async def test_two_people_who_stop_everything_at_once_make_one_stop(running: AsyncEngine) -> None:
    async def stop() -> bool:
        async with running.begin() as connection:
            now = await database_now(connection)
            return await controls.begin_global_stop(connection, KIM, "x", now)

    begun = await asyncio.gather(*(stop() for _ in range(8)))
    assert begun.count(True) == 1


async def test_the_same_request_to_clear_twice_at_once_clears_once(running: AsyncEngine) -> None:
    async with running.connect() as connection:
        vm_id = (await ids(connection))[0]

    async def clear() -> bool:
        async with running.begin() as connection:
            now = await database_now(connection)
            return await controls.clear(connection, KIM, vm_id, now, request_key="annotation:1")

    done = await asyncio.gather(*(clear() for _ in range(8)))
    assert done.count(True) == 1
