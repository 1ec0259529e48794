"""Proofs that heartbeats would be stored, and the record of when they would not."""

from datetime import datetime, timedelta

import pytest

from defib_core.store import liveness, sweep
from support.stored import SECOND, Stored

BLIND_AFTER = 15 * SECOND


async def prove(stored: Stored, replica: str = "a", *, jumped: bool = False) -> float:
    return (await liveness.prove(stored.hot, replica, jumped=jumped)).now


async def gaps(stored: Stored) -> list[tuple[datetime, datetime, str]]:
    rows = await stored.execute("SELECT started_at, ended_at, cause FROM ingest_gap ORDER BY id")
    return [(row.started_at, row.ended_at, row.cause) for row in rows]


async def last_proof(stored: Stored) -> datetime | None:
    return await sweep.last_proof(stored.connection)


async def test_a_proof_shows_the_databases_clock(stored: Stored) -> None:
    assert await last_proof(stored) is None
    assert await prove(stored) == stored.now.timestamp()
    assert await last_proof(stored) == stored.now


async def test_the_first_proof_of_all_is_no_gap(stored: Stored) -> None:
    await prove(stored)
    assert await gaps(stored) == []


@pytest.mark.parametrize(
    ("silence", "is_gap"),
    [(SECOND, False), (2 * SECOND, False), (2 * SECOND + timedelta(microseconds=1), True)],
)
async def test_a_silence_longer_than_two_seconds_is_written_down(
    stored: Stored, silence: timedelta, *, is_gap: bool
) -> None:
    began = stored.now
    await prove(stored)
    await stored.move(silence)
    await prove(stored)
    assert await gaps(stored) == ([(began, stored.now, "silence")] if is_gap else [])


async def test_one_replica_is_enough(stored: Stored) -> None:
    await prove(stored, "a")
    for _ in range(5):
        await stored.move(SECOND)
        await prove(stored, "b")
    await prove(stored, "a")
    assert await gaps(stored) == []


async def test_a_replica_that_proves_after_a_silence_of_all_writes_it_down(
    stored: Stored,
) -> None:
    began = stored.now
    await prove(stored, "a")
    await stored.move(60 * SECOND)
    await prove(stored, "new")
    assert await gaps(stored) == [(began, stored.now, "silence")]


async def test_a_jump_of_the_clock_is_written_down_however_short(stored: Stored) -> None:
    began = stored.now
    await prove(stored)
    await stored.move(SECOND)
    await prove(stored, jumped=True)
    assert await gaps(stored) == [(began, stored.now, "clock_jump")]


async def test_a_jump_back_ends_where_the_clock_is_now(stored: Stored) -> None:
    await prove(stored)
    await stored.move(timedelta(hours=-1))
    await prove(stored, jumped=True)
    assert await gaps(stored) == [(stored.now, stored.now, "clock_jump")]
    assert await last_proof(stored) == stored.now


async def test_a_proof_from_the_future_proves_nothing(stored: Stored) -> None:
    await prove(stored, "ended")
    await stored.move(timedelta(hours=-1))
    assert await last_proof(stored) is None


async def test_a_proof_from_the_future_is_forgotten(stored: Stored) -> None:
    await prove(stored, "ended")
    await stored.move(timedelta(hours=-1))
    await prove(stored, "living")
    replicas = await stored.execute("SELECT replica FROM ingest_liveness")
    assert [row.replica for row in replicas] == ["living"]


async def test_a_proof_of_another_day_is_forgotten(stored: Stored) -> None:
    await prove(stored, "ended")
    await stored.move(timedelta(days=1))
    await prove(stored, "living")
    assert await stored.value("SELECT count(*) FROM ingest_liveness") == 2
    await stored.move(SECOND)
    await prove(stored, "living")
    assert await stored.value("SELECT count(*) FROM ingest_liveness") == 1


async def test_when_a_replica_began_is_kept(stored: Stored) -> None:
    began = stored.now
    await prove(stored)
    await stored.move(SECOND)
    await prove(stored)
    row = (await stored.execute("SELECT started_at, proved_at FROM ingest_liveness"))[0]
    assert tuple(row) == (began, stored.now)


# what the sweep makes of gaps


async def gap(stored: Stored, lasted: timedelta, *, jumped: bool = False) -> datetime:
    await prove(stored)
    await stored.move(lasted)
    await prove(stored, jumped=jumped)
    return stored.now


async def blindness(stored: Stored) -> datetime | None:
    return await sweep.last_blindness(stored.connection, BLIND_AFTER)


@pytest.mark.parametrize(
    ("lasted", "counts"),
    [(BLIND_AFTER - SECOND, False), (BLIND_AFTER, False), (BLIND_AFTER + SECOND, True)],
)
async def test_only_a_gap_longer_than_allowed_is_blindness(
    stored: Stored, lasted: timedelta, *, counts: bool
) -> None:
    ended = await gap(stored, lasted)
    assert await blindness(stored) == (ended if counts else None)


async def test_a_jump_of_the_clock_is_blindness_always(stored: Stored) -> None:
    ended = await gap(stored, SECOND, jumped=True)
    assert await blindness(stored) == ended


async def test_the_last_blindness_counts(stored: Stored) -> None:
    await gap(stored, 60 * SECOND)
    last = await gap(stored, 20 * SECOND)
    await gap(stored, 3 * SECOND)
    assert await blindness(stored) == last


async def test_there_was_never_a_gap(stored: Stored) -> None:
    assert await blindness(stored) is None


async def test_a_clock_set_back_is_a_jump_even_for_a_replica_that_has_just_begun(
    stored: Stored,
) -> None:
    await prove(stored, "ended")
    await stored.move(-3600 * SECOND)
    proof = await liveness.prove(stored.hot, "new")
    assert proof.went_back
    assert await gaps(stored) == [(stored.now, stored.now, "clock_jump")]
    assert not (await liveness.prove(stored.hot, "new")).went_back


async def test_moments_from_the_future_count_from_now(stored: Stored) -> None:
    vm = await stored.reporting_vm()
    other = await stored.reporting_vm()
    earlier = stored.now - 7200 * SECOND
    await stored.set(other, last_heartbeat=earlier, clock_floor=earlier, alive_since=earlier)
    await stored.move(-3600 * SECOND)
    await liveness.forget_the_future(stored.hot)
    row, kept = await stored.state(vm), await stored.state(other)
    assert row.last_heartbeat == row.alive_since == stored.now
    assert row.last_attempt_at is None
    assert kept.last_heartbeat == kept.clock_floor == kept.alive_since == earlier
