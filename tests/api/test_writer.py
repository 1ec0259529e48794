"""The writer and its backlog: one commit for many, at most one of a VM in it, none lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import psycopg
import pytest

from defib_api.ingest.backlog import Backlog, BacklogFull, Outcome, TooManyOfOneVM, Waiting
from defib_api.ingest.prover import Reading
from defib_core.store.heartbeats import Heartbeat
from support.logged import Logged
from support.running_api import RunningApi, running_api
from support.waiting import eventually_async


@asynccontextmanager
async def locked(api: RunningApi, vm_id: int) -> AsyncIterator[None]:
    """Hold the row of a VM, so that the batch it is in has to wait."""
    async with await psycopg.AsyncConnection.connect(api.database_url) as connection:
        await connection.execute("SELECT 1 FROM vm_state WHERE vm_id = %s FOR UPDATE", [vm_id])
        yield


async def backlog_holds(api: RunningApi, reports: int) -> None:
    """Wait until so many reports wait for the next batch."""

    async def holds() -> bool:
        return len(api.services.writer._backlog) == reports

    await eventually_async(holds, what=f"{reports} reports wait")


async def test_reports_that_come_together_are_committed_together(api: RunningApi) -> None:
    for vmid in range(100, 110):
        await api.report(vmid=vmid)
    async with locked(api, 1):
        first = asyncio.create_task(api.report(vmid=100))
        await in_flight(api)
        others = [asyncio.create_task(api.report(vmid=vmid)) for vmid in range(101, 110)]
        await backlog_holds(api, 9)
    assert {answer.status_code for answer in await asyncio.gather(first, *others)} == {200}
    moments = await api.sql(
        "SELECT count(DISTINCT last_heartbeat) FROM vm_state WHERE vm_id BETWEEN 2 AND 10"
    )
    assert moments == [(1,)], "one commit, one reading of the clock"


async def in_flight(api: RunningApi) -> None:
    """Wait until the writer's statement waits for a lock."""

    async def waits() -> bool:
        rows = await api.sql(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'defib-api-writer'"
            " AND datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(rows)

    await eventually_async(waits, what="the writer waits for the lock")


async def test_two_reports_of_one_vm_at_once_are_both_stored(api: RunningApi) -> None:
    await api.report()
    async with locked(api, 1):
        first = asyncio.create_task(api.report(uptime=1))
        await in_flight(api)
        others = [asyncio.create_task(api.report(uptime=uptime)) for uptime in (2, 3)]
        await backlog_holds(api, 2)
    assert {answer.status_code for answer in await asyncio.gather(first, *others)} == {200}
    assert await api.sql("SELECT reports FROM vm_state") == [(4,)]
    assert await api.sql("SELECT count(*) FROM vm_metric") == [(4,)]


async def test_many_first_reports_of_one_vm_at_once_make_one_vm(api: RunningApi) -> None:
    answers = await asyncio.gather(*(api.report() for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert await api.sql(
        "SELECT v.vmid, s.reports FROM vm v JOIN vm_state s ON s.vm_id = v.id"
    ) == [(100, 4)]


async def test_a_flood_from_one_vm_is_a_429_for_that_one_only(api: RunningApi) -> None:
    await api.report(vmid=100)
    await api.report(vmid=101)
    async with locked(api, 1):
        flood = [asyncio.create_task(api.report(vmid=100)) for _ in range(12)]
        await in_flight(api)
        done, _ = await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        other = asyncio.create_task(api.report(vmid=101))
        await backlog_holds(api, 5)
    refused = next(iter(done)).result()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert "two VMs configured with the same vmid" in refused.json()["message"]
    assert (await other).status_code == 200
    codes = [answer.status_code for answer in await asyncio.gather(*flood)]
    assert sorted(set(codes)) == [200, 429]
    assert codes.count(200) >= 4


async def test_a_full_backlog_is_a_503_that_says_when_to_come_back(api: RunningApi) -> None:
    for vmid in (100, 101, 102):
        await api.report(vmid=vmid)
    api.services.writer._backlog._limit = 1
    async with locked(api, 1):
        first = asyncio.create_task(api.report(vmid=100))
        await in_flight(api)
        second = asyncio.create_task(api.report(vmid=101))
        await backlog_holds(api, 1)
        refused = await api.report(vmid=102)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert "more reports are waiting" in refused.json()["message"]
    assert [(await one).status_code for one in (first, second)] == [200, 200]


async def test_one_bad_row_fails_itself_and_no_other_of_the_batch(
    api: RunningApi, logged: Logged
) -> None:
    for vmid in range(100, 109):
        await api.report(vmid=vmid)
    await api.sql("ALTER TABLE vm_state ADD CHECK (uptime <> 13)")
    async with locked(api, 1):
        first = asyncio.create_task(api.report(vmid=100))
        await in_flight(api)
        batch = [
            asyncio.create_task(api.report(vmid=vmid, uptime=13 if vmid == 105 else 1))
            for vmid in range(101, 109)
        ]
        await backlog_holds(api, 8)
    answers = await asyncio.gather(first, *batch)
    assert [answer.status_code for answer in answers] == [200] * 5 + [500] + [200] * 3
    assert "the database refused its values" in answers[5].json()["message"]
    assert await api.sql("SELECT count(*) FROM vm_state WHERE reports = 2") == [(8,)]
    assert [line["vm"] for line in logged.lines("error")] == [6]


async def test_a_statement_that_waits_too_long_is_given_up_and_tried_again(
    api: RunningApi,
) -> None:
    await api.report()
    async with locked(api, 1):
        answer = asyncio.create_task(api.report())
        await in_flight(api)
        cancel = (
            "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE application_name ="
            " 'defib-api-writer' AND datname = current_database()"
        )
        assert await api.sql(cancel) == [(1,)]
        await in_flight(api)
    assert (await answer).status_code == 200
    assert await api.sql("SELECT reports FROM vm_state") == [(2,)]


async def test_what_was_taken_in_is_stored_before_the_process_ends(
    database_url: str, redis_url: str
) -> None:
    async with running_api(database_url, redis_url) as api:
        for vmid in (100, 101):
            await api.report(vmid=vmid)
        async with locked(api, 1):
            first = asyncio.create_task(api.report(vmid=100))
            await in_flight(api)
            second = asyncio.create_task(api.report(vmid=101))
            await backlog_holds(api, 1)
            api.services.writer.stop()
        assert [(await one).status_code for one in (first, second)] == [200, 200]
        assert await api.sql("SELECT sum(reports)::int FROM vm_state") == [(4,)]


def heartbeat(vm_id: int) -> Heartbeat:
    return Heartbeat(vm_id, "running", 1.0, 1, 2, None, None, None, None, None)


def waiting(vm_id: int) -> Waiting:
    return Waiting(heartbeat(vm_id), asyncio.get_running_loop().create_future())


async def test_a_batch_has_at_most_one_report_of_a_vm_and_keeps_their_order() -> None:
    backlog = Backlog()
    ones = [waiting(1) for _ in range(3)]
    two = waiting(2)
    for one in (*ones, two):
        backlog.add(one)
    assert backlog.take(10) == [ones[0], two]
    assert backlog.take(10) == [ones[1]]
    assert len(backlog) == 1
    assert backlog.take(10) == [ones[2]]
    assert backlog.take(10) == []


async def test_the_vm_that_waited_longest_comes_first() -> None:
    backlog = Backlog()
    many = [waiting(vm_id) for vm_id in (5, 5, 3, 4)]
    for one in many:
        backlog.add(one)
    assert [one.heartbeat.vm_id for one in backlog.take(2)] == [5, 3]
    assert [one.heartbeat.vm_id for one in backlog.take(2)] == [4, 5]


async def test_the_backlog_is_bounded_in_all_and_by_vm() -> None:
    backlog = Backlog(limit=3, limit_per_vm=2)
    backlog.add(waiting(1))
    backlog.add(waiting(1))
    with pytest.raises(TooManyOfOneVM):
        backlog.add(waiting(1))
    backlog.add(waiting(2))
    with pytest.raises(BacklogFull):
        backlog.add(waiting(3))
    assert len(backlog.drain()) == 3
    assert len(backlog) == 0


async def test_a_sender_that_no_longer_waits_is_passed_over() -> None:
    one = waiting(1)
    one.outcome.cancel()
    one.settle(Outcome.STORED)
    assert one.outcome.cancelled()


HOUR = timedelta(hours=1).total_seconds()


@pytest.mark.parametrize(
    ("moved", "passed", "took", "jumped"),
    [
        (1, 1, 0.01, False),
        (5.9, 1, 0.01, False),
        (6.1, 1, 0.01, True),
        (-3.9, 1, 0.01, False),
        (-4.2, 1, 0.01, True),
        (HOUR, 1, 0.01, True),
        (-HOUR, 1, 0.01, True),
        (HOUR, HOUR, 0.01, False),
        (10, 1, 9.5, False),
        (1, 1, 9.5, False),
        (17, 1, 9.5, True),
    ],
)
def test_a_slow_answer_is_no_jump_of_the_clock(
    moved: float, passed: float, took: float, jumped: bool
) -> None:
    earlier = Reading(database=1000.0, before=50.0, after=50.01)
    later = Reading(database=1000.0 + moved, before=50.0 + passed, after=50.0 + passed + took)
    assert later.contradicts(earlier) is jumped
