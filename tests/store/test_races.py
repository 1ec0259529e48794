"""Several connections at once: nothing twice, nothing lost, and no deadlock with heartbeats."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from defib_core.config.system_config import SystemConfigSpec
from defib_core.domain.actions import Action, Phase, PowerStep, Source
from defib_core.store import (
    clusters,
    execution,
    heartbeats,
    intents,
    mirror,
    registry,
    sweep,
)
from defib_core.store.clock import database_now
from defib_core.store.clusters import Placed
from defib_core.store.engine import hot_connection
from defib_core.store.execution import Claim
from defib_core.store.heartbeats import Heartbeat
from defib_core.store.intents import AlreadyAsked, AlreadyUnfinished, ManualRequest, Requested
from defib_core.store.mirror_many import mirror_ordinary
from defib_core.store.registry import ReportedIdentity
from defib_core.store.sweep import FleetClock
from support.stored import A_HEARTBEAT, LONG_AGO, MINUTE, Stored, config_key, vm_object
from support.together import at_once, begin, committed
from support.waiting import eventually_async

AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class Fleet:
    """The first VM is spent, and the last reset of it sent; the second is due to go down."""

    first: int
    second: int
    intent: int
    cluster: int
    config: int
    now: datetime


@pytest.fixture
async def fleet(engine: AsyncEngine) -> Fleet:
    async with committed(engine) as stored:
        first, second = await stored.down_vm(vmid=100), await stored.reporting_vm(vmid=101)
        intent = await stored.send(first)
        await stored.set(first, reset_attempts=3, last_attempt_at=LONG_AGO)
        await stored.set(second, last_heartbeat=LONG_AGO)
        return Fleet(
            first,
            second,
            intent,
            await stored.cluster_id(),
            await stored.config_id(),
            stored.now,
        )


def clock_of(fleet: Fleet) -> FleetClock:
    return FleetClock(
        fleet.config, LONG_AGO, blind=False, boot_grace=5 * MINUTE, clear_after=60 * MINUTE
    )


# nobody is the victim of a deadlock


Work = Callable[[AsyncConnection, Fleet], Awaitable[Any]]


async def mirror_a_vm(connection: AsyncConnection, fleet: Fleet) -> None:
    given = vm_object(100, stale_timeout=MINUTE)
    await mirror.mirror_vm(connection, given, fleet.now)


async def mirror_many_vms(connection: AsyncConnection, fleet: Fleet) -> None:
    given = [vm_object(vmid, generation=2) for vmid in (101, 100, 200)]
    assert len((await mirror_ordinary(connection, given, fleet.now)).put) == len(given)


async def mirror_a_config(connection: AsyncConnection, fleet: Fleet) -> None:
    spec = SystemConfigSpec(stale_timeout_ms=120_000)
    await mirror.mirror_config(connection, config_key(), spec, fleet.now)


async def sweep_states(connection: AsyncConnection, fleet: Fleet) -> None:
    await sweep.change_states(connection, [clock_of(fleet)], fleet.now)


async def place_vms(connection: AsyncConnection, fleet: Fleet) -> None:
    seen = [Placed(vmid, "pve2", is_qemu=True, state="running", busy=False) for vmid in (101, 100)]
    await clusters.place(connection, fleet.cluster, seen, fleet.now)


async def fail_a_reset(connection: AsyncConnection, fleet: Fleet) -> None:
    await execution.finish(
        connection, fleet.intent, phase=Phase.FAILED, error="x", response=None, now=fleet.now
    )


async def claim_a_second_post(connection: AsyncConnection, fleet: Fleet) -> None:
    wanted = Claim(fleet.intent, 2, PowerStep.START, Action.STOP_START, "pve1")
    await execution.claim(connection, wanted, epoch=1, now=fleet.now)


async def take_an_object_out(connection: AsyncConnection, fleet: Fleet) -> None:
    await mirror.tombstone(connection, ["uid-100", "uid-101"], fleet.now)


WORK: Sequence[Work] = (
    mirror_a_vm,
    mirror_many_vms,
    mirror_a_config,
    place_vms,
    fail_a_reset,
    claim_a_second_post,
    take_an_object_out,
)


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
async def test_a_batch_of_heartbeats_is_never_in_a_deadlock(
    engine: AsyncEngine, fleet: Fleet, work: Work
) -> None:
    await meet_a_batch(engine, fleet, work)


async def test_a_sweep_that_changes_several_states_is_in_no_deadlock(
    engine: AsyncEngine, fleet: Fleet
) -> None:
    async with committed(engine) as stored:
        await stored.end(fleet.intent)
    await meet_a_batch(engine, fleet, sweep_states)


async def meet_a_batch(engine: AsyncEngine, fleet: Fleet, work: Work) -> None:
    """A batch locks states in the order of their ids, then what belongs to VMs that flip."""
    async with engine.connect() as watch, engine.begin() as batch:
        await batch.execute(text("SET LOCAL lock_timeout = '5s'"))
        await lock_state(batch, fleet.first)
        rival = await begin(engine, lambda other: work(other, fleet), watch)
        await lock_state(batch, fleet.second)
        for vm_id in (fleet.first, fleet.second):
            await flip(batch, vm_id)
    await rival.result()


async def lock_state(connection: AsyncConnection, vm_id: int) -> None:
    lock = text("SELECT FROM vm_state WHERE vm_id = :vm FOR UPDATE")
    await connection.execute(lock, {"vm": vm_id})


async def test_a_report_that_meets_its_new_object_is_in_no_deadlock(engine: AsyncEngine) -> None:
    async with committed(engine) as stored:
        await stored.vm(300, name="web", uid="u300")
        cluster_id, now = await stored.cluster_id(), stored.now
    said = ReportedIdentity(cluster_id, 200, "web", None, None, None)
    given = vm_object(200, name="web", uid="u200")
    async with engine.connect() as watch, engine.connect() as batch:
        async with engine.begin() as blocker:
            # The object's name was another VM's: that one is asked for in the middle.
            await blocker.execute(text("SELECT FROM vm WHERE vmid = 300 FOR UPDATE"))
            taking = await begin(engine, lambda c: mirror.mirror_vm(c, given, now), watch)
            reporting = await begin(engine, lambda c: registry.find_or_create(c, said), watch)
            find = text("SELECT id FROM vm WHERE vmid = 200")
            vm_id = (await batch.execute(find)).scalar_one_or_none()
            if vm_id is not None:
                await lock_state(batch, vm_id)
        if vm_id is not None:
            await eventually_async(lambda: waits(watch), what="the object is being taken in")
            await flip(batch, vm_id)
            await batch.commit()
        await reporting.result()
        await taking.result()


async def test_reports_that_meet_many_new_objects_are_in_no_deadlock(engine: AsyncEngine) -> None:
    async with committed(engine) as stored:
        await stored.vm(300)
        cluster_id, now = await stored.cluster_id(), stored.now
    said = ReportedIdentity(cluster_id, 200, "web", None, None, None)
    given = [vm_object(200), vm_object(300, generation=2)]
    async with engine.connect() as watch, engine.connect() as other:
        async with engine.begin() as blocker:
            # One of the objects is of a VM that somebody has locked: they wait in the middle.
            await blocker.execute(text("SELECT FROM vm WHERE vmid = 300 FOR UPDATE"))
            taking = await begin(engine, lambda c: mirror_ordinary(c, given, now), watch)
            reporting = await begin(engine, lambda c: registry.find_or_create(c, said), watch)
            find = text("SELECT id FROM vm WHERE vmid = 200")
            vm_id = (await other.execute(find)).scalar_one_or_none()
            if vm_id is not None:
                await lock_state(other, vm_id)
        if vm_id is not None:
            await eventually_async(lambda: waits(watch), what="the objects are being taken in")
            # Another machine reports as this VM: its state is locked before the VM.
            await other.execute(text("UPDATE vm SET reported_hostname = 'copy' WHERE vmid = 200"))
            await other.commit()
        await reporting.result()
        assert (await taking.result()).put == {"uid-200", "uid-300"}


async def waits(watch: AsyncConnection) -> bool:
    waiting = text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    return bool((await watch.execute(waiting)).scalar_one())


FLIP = (
    """UPDATE vm_state SET state = 'warning', reset_pending = false WHERE vm_id = :vm""",
    """INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)
       VALUES (:vm, defib_now(), 'down', 'warning', 'ThresholdExceeded')""",
    """UPDATE reset_history SET recovered_at = defib_now()
       WHERE vm_id = :vm AND sent_at IS NOT NULL""",
    """UPDATE hold SET ended_at = defib_now() WHERE vm_id = :vm AND ended_at IS NULL""",
)


async def flip(connection: AsyncConnection, vm_id: int) -> None:
    """What the heartbeat's statement writes where a VM flips."""
    for statement in FLIP:
        await connection.execute(text(statement), {"vm": vm_id})


async def test_writers_with_the_same_vms_in_any_order_all_store(
    engine: AsyncEngine, database_url: str
) -> None:
    async with committed(engine) as stored:
        vm_ids = [await stored.vm() for _ in range(30)]

    async def write(order: Sequence[int]) -> int:
        connection = await hot_connection(database_url, application="tests")
        stored_rows = 0
        for number in range(20):
            # Every other batch flips all states, so that each has transitions to write.
            batch = [heartbeat(vm_id, cpu=95 if number % 2 else 5) for vm_id in order]
            stored_rows += len(await heartbeats.store(connection, batch))
        await connection.close()
        return stored_rows

    written = await at_once(write(vm_ids), write(vm_ids[::-1]), write(vm_ids[10:] + vm_ids[:10]))
    assert written == [600, 600, 600]
    async with engine.connect() as connection:
        counted = await connection.execute(text("SELECT DISTINCT reports FROM vm_state"))
        assert counted.scalars().all() == [60]


def heartbeat(vm_id: int, cpu: float = 10) -> Heartbeat:
    return msgspec.structs.replace(A_HEARTBEAT, vm_id=vm_id, cpu=cpu)


async def test_repeated_heartbeats_are_hot_updates(engine: AsyncEngine, database_url: str) -> None:
    async with committed(engine) as stored:
        vm_ids = [await stored.vm() for _ in range(200)]
    connection = await hot_connection(database_url, application="tests")
    for _ in range(10):
        await heartbeats.store(connection, [heartbeat(vm_id) for vm_id in vm_ids])
    await connection.execute("SELECT pg_stat_force_next_flush()")
    cursor = await connection.execute(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'vm_state'"
    )
    row = await cursor.fetchone()
    await connection.close()
    assert row is not None
    updates, hot = row
    assert updates >= 2000
    assert hot / updates > 0.95


# nothing twice


async def test_a_post_that_many_claim_is_claimed_once(engine: AsyncEngine) -> None:
    async with committed(engine) as stored:
        intent_id = await stored.ask(await stored.down_vm())
        await stored.lead(1)

    async def claim() -> bool:
        wanted = Claim(intent_id, 1, PowerStep.RESET, Action.RESET, "pve1")
        async with engine.begin() as connection:
            now = await database_now(connection)
            return await execution.claim(connection, wanted, epoch=1, now=now)

    answers = await at_once(*(claim() for _ in range(AT_ONCE)))
    assert sorted(answers) == [False] * (AT_ONCE - 1) + [True]
    assert await attempts(engine) == 1


async def attempts(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        counted = await connection.execute(text("SELECT max(reset_attempts) FROM vm_state"))
        return int(counted.scalar_one())


async def test_a_cancelled_intent_is_not_claimed_by_one_who_waited(engine: AsyncEngine) -> None:
    async with committed(engine) as stored:
        intent_id = await stored.ask(await stored.down_vm())
        await stored.lead(1)
    wanted = Claim(intent_id, 1, PowerStep.RESET, Action.RESET, "pve1")
    async with engine.connect() as watch:
        async with engine.begin() as first:
            now = await database_now(first)
            await execution.cancel(first, intent_id, reason="Paused", message="x", now=now)
            rival = await begin(
                engine, lambda other: execution.claim(other, wanted, epoch=1, now=now), watch
            )
        assert await rival.result() is False
    assert await attempts(engine) == 0


async def test_a_heartbeat_that_is_stored_first_stops_the_post(
    engine: AsyncEngine, database_url: str
) -> None:
    async with committed(engine) as stored:
        vm_id = await stored.down_vm()
        intent_id = await stored.decide(vm_id)
        await stored.lead(1)
    assert intent_id is not None
    wanted = Claim(intent_id, 1, PowerStep.RESET, Action.RESET, "pve1")
    async with engine.connect() as watch:
        async with engine.begin() as storing:
            raw = (await storing.get_raw_connection()).driver_connection
            assert raw is not None
            now = await database_now(storing)
            await heartbeats.store(raw, [heartbeat(vm_id)])
            rival = await begin(
                engine, lambda other: execution.claim(other, wanted, epoch=1, now=now), watch
            )
        assert await rival.result() is False
    assert await attempts(engine) == 0


async def test_of_many_requests_at_once_one_is_written(engine: AsyncEngine) -> None:
    async with committed(engine) as stored:
        vm_id = await stored.down_vm()

    async def ask(key: str | None) -> object:
        async with engine.begin() as connection:
            request = ManualRequest(vm_id, Source.API, "ann", "x", request_key=key)
            return await intents.request_manual(connection, request, await database_now(connection))

    answers = await at_once(*(ask(None) for _ in range(AT_ONCE)))
    [made] = [answer for answer in answers if isinstance(answer, Requested)]
    assert answers.count(AlreadyUnfinished(made.intent_id)) == AT_ONCE - 1


async def test_one_request_sent_many_times_at_once_is_one(engine: AsyncEngine) -> None:
    async with committed(engine) as stored:
        vm_id = await stored.down_vm()

    async def ask() -> object:
        async with engine.begin() as connection:
            request = ManualRequest(vm_id, Source.API, "ann", "x", request_key="key")
            return await intents.request_manual(connection, request, await database_now(connection))

    answers = await at_once(*(ask() for _ in range(AT_ONCE)))
    [made] = [answer for answer in answers if isinstance(answer, Requested)]
    assert answers.count(AlreadyAsked(made.intent_id)) == AT_ONCE - 1


async def test_a_request_that_meets_one_that_is_just_ending_is_written(
    engine: AsyncEngine,
) -> None:
    async with committed(engine) as stored:
        vm_id = await stored.down_vm()
        first = await stored.ask(vm_id)
    request = ManualRequest(vm_id, Source.API, "ann", "x")
    async with engine.connect() as watch:
        async with engine.begin() as ending:
            now = await database_now(ending)
            await execution.cancel(ending, first, reason="Paused", message="x", now=now)
            rival = await begin(
                engine, lambda other: intents.request_manual(other, request, now), watch
            )
        result = await rival.result()
    assert isinstance(result, Requested | AlreadyUnfinished)


async def test_sweeps_at_once_write_each_transition_once(engine: AsyncEngine) -> None:
    async with committed(engine) as stored:
        vm_ids = [await stored.reporting_vm() for _ in range(20)]
        later = stored.now + 10 * MINUTE
        fleet = FleetClock(
            await stored.config_id(),
            LONG_AGO,
            blind=False,
            boot_grace=5 * MINUTE,
            clear_after=60 * MINUTE,
        )

    async def tick() -> int:
        async with engine.begin() as connection:
            return len(await sweep.change_states(connection, [fleet], later))

    assert sorted(await at_once(*(tick() for _ in range(4)))) == [0, 0, 0, len(vm_ids)]


async def test_a_vm_whose_heartbeat_is_just_being_stored_does_not_go_down(
    engine: AsyncEngine,
) -> None:
    async with committed(engine) as stored:
        vm_id = await stored.reporting_vm()
        await stored.set(vm_id, last_heartbeat=stored.now - 10 * MINUTE)
        fleet = FleetClock(
            await stored.config_id(),
            LONG_AGO,
            blind=False,
            boot_grace=5 * MINUTE,
            clear_after=60 * MINUTE,
        )
    async with engine.connect() as watch:
        async with engine.begin() as storing:
            raw = (await storing.get_raw_connection()).driver_connection
            assert raw is not None
            now = await database_now(storing)
            await heartbeats.store(raw, [heartbeat(vm_id)])
            rival = await begin(
                engine, lambda other: sweep.change_states(other, [fleet], now), watch
            )
        assert await rival.result() == []


async def test_reports_of_a_new_vm_at_once_create_it_once(engine: AsyncEngine) -> None:
    async with committed(engine) as stored:
        assert await stored.cluster_id()

    async def register() -> int:
        async with committed(engine) as one:
            return await one.agent_vm(4711)

    assert len(set(await at_once(*(register() for _ in range(AT_ONCE))))) == 1


async def test_an_object_and_a_report_at_once_make_one_vm(engine: AsyncEngine) -> None:
    async with committed(engine) as stored:
        assert await stored.cluster_id()

    async def by(make: Callable[[Stored], Awaitable[int]]) -> int:
        async with committed(engine) as one:
            return await make(one)

    made = await at_once(
        by(lambda one: one.vm(4711)),
        by(lambda one: one.agent_vm(4711)),
        by(lambda one: one.vm(4711)),
    )
    assert len(set(made)) == 1
