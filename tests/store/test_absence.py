"""Nobody kept house for days: what is to be rolled up waits, and then everything is in order."""

from datetime import timedelta

from defib_core.store import partitions, rollups
from support.stored import Stored

FIVE, HOURLY = rollups.ALL
DAY = timedelta(days=1)
CALLS_A_DAY = 25


async def keep_house(stored: Stored) -> tuple[int, int]:
    """What the operator does every half a minute."""
    kept = await partitions.maintain(stored.connection, stored.now)
    for rollup in rollups.ALL:
        await rollups.roll_up(stored.connection, rollup, stored.now)
    return kept


async def samples(stored: Stored, table: str) -> int | None:
    found: int | None = await stored.value(f"SELECT sum(samples) FROM {table}")
    return found


async def test_reports_wait_for_their_rollup_however_old_they_are(stored: Stored) -> None:
    await keep_house(stored)
    vm_id = await stored.vm()
    for _ in range(4):
        await stored.move(timedelta(hours=6))
        await stored.report(vm_id)
    await stored.move(3 * DAY)
    await partitions.maintain(stored.connection, stored.now)
    assert await stored.value("SELECT count(*) FROM vm_metric") == 4, "they are older than two days"
    for _ in range(4 * CALLS_A_DAY + 1):
        await keep_house(stored)
    assert await samples(stored, "vm_metric_5m") == 4
    assert await samples(stored, "vm_metric_1h") == 4
    await keep_house(stored)
    assert await stored.value("SELECT count(*) FROM vm_metric") == 0
    assert await samples(stored, "vm_metric_5m") == 4, "each exactly once"
    assert await keep_house(stored) == (0, 0)


async def test_a_rollup_that_never_comes_back_does_not_fill_the_disk(stored: Stored) -> None:
    await keep_house(stored)
    await stored.report(await stored.vm())
    await stored.move(partitions.WAITS_MOST + 2 * DAY)
    await partitions.maintain(stored.connection, stored.now)
    assert await stored.value("SELECT count(*) FROM vm_metric") == 1
    await stored.move(timedelta(hours=2))
    await partitions.maintain(stored.connection, stored.now)
    assert await stored.value("SELECT count(*) FROM vm_metric") == 0


async def test_pieces_are_there_for_the_present_at_once_after_days_away(stored: Stored) -> None:
    await keep_house(stored)
    vm_id = await stored.vm()
    await stored.move(20 * DAY)
    await stored.report(vm_id)
    assert await stored.value("SELECT count(*) FROM vm_metric_default") == 1
    await keep_house(stored)
    assert await stored.value("SELECT count(*) FROM vm_metric_default") == 0
    assert await stored.value("SELECT count(*) FROM vm_metric") == 1
