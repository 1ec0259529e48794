"""Who leads: one holder at a time, and a new epoch whenever leadership was not continuous."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import lease
from defib_core.store.clock import database_now
from support.stored import SECOND, Stored
from support.waiting import eventually_async

LEASE = 8 * SECOND


async def take(stored: Stored, holder: str) -> int | None:
    return await lease.take_or_renew(stored.connection, holder, LEASE)


async def test_the_first_to_ask_leads(stored: Stored) -> None:
    assert await lease.leader(stored.connection) is None
    assert await take(stored, "a") == 1
    assert await lease.leader(stored.connection) == "a"


async def test_nobody_else_can_take_it_before_it_runs_out(stored: Stored) -> None:
    await take(stored, "a")
    await stored.move(LEASE - SECOND)
    assert await take(stored, "b") is None
    assert await lease.leader(stored.connection) == "a"


async def test_the_holder_prolongs_it_under_the_same_epoch(stored: Stored) -> None:
    assert await take(stored, "a") == 1
    await stored.move(LEASE - SECOND)
    assert await take(stored, "a") == 1
    await stored.move(LEASE - SECOND)
    assert await take(stored, "b") is None


async def test_when_it_has_run_out_another_leads_under_a_new_epoch(stored: Stored) -> None:
    await take(stored, "a")
    await stored.move(LEASE)
    assert await lease.leader(stored.connection) is None
    assert await take(stored, "b") == 2
    assert await take(stored, "a") is None


async def test_a_holder_that_was_late_gets_a_new_epoch(stored: Stored) -> None:
    await take(stored, "a")
    await stored.move(LEASE)
    assert await take(stored, "a") == 2


async def test_released_it_is_free_at_once(stored: Stored) -> None:
    epoch = await take(stored, "a")
    assert epoch is not None
    await lease.release(stored.connection, "a", epoch)
    assert await lease.leader(stored.connection) is None
    assert await take(stored, "b") == 2


async def test_only_its_holder_under_its_epoch_releases_it(stored: Stored) -> None:
    await take(stored, "a")
    await lease.release(stored.connection, "b", 1)
    await lease.release(stored.connection, "a", 2)
    assert await lease.leader(stored.connection) == "a"


async def test_an_epoch_is_in_force_until_it_runs_out(stored: Stored) -> None:
    await take(stored, "a")
    assert await lease.is_in_force(stored.connection, 1, stored.now)
    assert not await lease.is_in_force(stored.connection, 2, stored.now)
    last = stored.now + LEASE
    assert await lease.is_in_force(stored.connection, 1, last - timedelta(microseconds=1))
    assert not await lease.is_in_force(stored.connection, 1, last)


# several connections


async def test_of_many_who_ask_at_once_one_leads(engine: AsyncEngine) -> None:
    async def ask(holder: str) -> int | None:
        async with engine.begin() as connection:
            return await lease.take_or_renew(connection, holder, LEASE)

    answers = await asyncio.gather(*(ask(f"operator-{number}") for number in range(8)))
    assert sorted(answers, key=lambda epoch: epoch or 0) == [None] * 7 + [1]


async def test_nobody_takes_it_while_a_transaction_relies_on_it(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await lease.take_or_renew(connection, "a", timedelta(milliseconds=200))
    async with engine.begin() as relying, engine.connect() as asking:
        assert await lease.is_in_force(relying, 1, await database_now(relying))

        async def has_run_out() -> bool:
            return await lease.leader(relying) is None

        await eventually_async(has_run_out, what="the lease runs out")
        await asking.execute(text("SET lock_timeout = '100ms'"))
        with pytest.raises(DBAPIError, match="lock timeout"):
            await lease.take_or_renew(asking, "b", LEASE)
    async with engine.begin() as asking:
        assert await lease.take_or_renew(asking, "b", LEASE) == 2


async def test_a_lease_from_the_future_can_be_taken_once_it_was_seen_not_to_be_renewed(
    stored: Stored,
) -> None:
    await take(stored, "a")
    await stored.move(-3600 * SECOND)
    assert await take(stored, "b") is None
    seen = await lease.expires_at(stored.connection)
    assert await lease.take_or_renew(stored.connection, "b", LEASE, overdue=seen) == 2


async def test_a_lease_that_was_renewed_meanwhile_cannot_be_taken_as_overdue(
    stored: Stored,
) -> None:
    await take(stored, "a")
    seen = await lease.expires_at(stored.connection)
    await stored.move(SECOND)
    assert await take(stored, "a") == 1
    assert await lease.take_or_renew(stored.connection, "b", LEASE, overdue=seen) is None
