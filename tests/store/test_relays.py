"""Relays: while one is not heard the VMs behind it are not known to be silent."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from defib_core.store import relays
from defib_core.store.relays import RelayClock, RelayExists, Said
from support.stored import LONG_AGO, MINUTE, SECOND, STALE_TIMEOUT, Stored

BLIND_AFTER = 15 * SECOND


async def relay(stored: Stored, name: str = "site-a") -> int:
    await relays.create(stored.connection, name, await stored.cluster_id())
    return int(await stored.value("SELECT id FROM relay WHERE name = :name", name=name))


async def clocks(stored: Stored) -> Sequence[RelayClock]:
    return await relays.clocks(stored.connection, BLIND_AFTER, stored.now)


async def test_a_token_is_made_once_and_known_by_its_digest(stored: Stored) -> None:
    token = await relays.create(stored.connection, "site-a", await stored.cluster_id())
    known = await relays.load(stored.connection)
    assert [one.name for one in known.values()] == ["site-a"]
    assert token not in str(known)
    with pytest.raises(RelayExists):
        await relays.create(stored.connection, "site-a", await stored.cluster_id())
    assert await relays.revoke(stored.connection, "site-a")
    assert not await relays.revoke(stored.connection, "site-a")
    assert await relays.load(stored.connection) == {}
    assert await relays.create(stored.connection, "site-a", await stored.cluster_id()) != token


async def test_what_it_says_of_itself_is_kept(stored: Stored) -> None:
    relay_id = await relay(stored)
    await relays.prove(stored.connection, relay_id, Said(waiting=5, lost=2, version="1.2"))
    [shown] = await relays.listed(stored.connection)
    assert (shown.waiting, shown.lost, shown.version) == (5, 2, "1.2")
    assert (shown.proved_at, shown.now) == (stored.now, stored.now)


async def test_one_that_does_not_prove_itself_is_blind_and_back_with_a_floor(
    stored: Stored,
) -> None:
    relay_id = await relay(stored)
    [never] = await clocks(stored)
    assert never.blindness is not None
    await relays.prove(stored.connection, relay_id, Said())
    await stored.move(BLIND_AFTER)
    [heard] = await clocks(stored)
    assert (heard.blindness, heard.floor) == (None, None)
    last = stored.now - BLIND_AFTER
    await stored.move(SECOND)
    [silent] = await clocks(stored)
    assert silent.blind_since == last
    assert "site-a" in (silent.blindness or "")
    await relays.prove(stored.connection, relay_id, Said())
    [back] = await clocks(stored)
    assert (back.blindness, back.floor) == (None, stored.now)


async def test_a_short_silence_moves_no_clock(stored: Stored) -> None:
    relay_id = await relay(stored)
    await relays.prove(stored.connection, relay_id, Said())
    await stored.move(BLIND_AFTER - SECOND)
    await relays.prove(stored.connection, relay_id, Said())
    [heard] = await clocks(stored)
    assert (heard.blindness, heard.floor) == (None, None)


async def test_after_a_backward_jump_of_the_clock_an_old_proof_proves_nothing(
    stored: Stored,
) -> None:
    relay_id = await relay(stored)
    await relays.prove(stored.connection, relay_id, Said())
    await stored.move(-timedelta(hours=1))
    [jumped] = await clocks(stored)
    assert jumped.blindness is not None
    await relays.prove(stored.connection, relay_id, Said())
    [again] = await clocks(stored)
    assert again.blindness is None


async def test_the_vms_of_a_revoked_relay_have_a_full_timeout_from_then(stored: Stored) -> None:
    await relay(stored)
    await relays.revoke(stored.connection, "site-a")
    [given_up] = await clocks(stored)
    assert (given_up.blindness, given_up.floor) == (None, stored.now)


async def test_behind_a_dead_relay_nothing_becomes_down_until_a_full_timeout_after_it_is_back(
    stored: Stored,
) -> None:
    relay_id = await relay(stored)
    behind, beside = await stored.reporting_vm(), await stored.reporting_vm()
    await stored.report(behind, relay_id=relay_id)
    await relays.prove(stored.connection, relay_id, Said())

    async def went_down() -> list[int]:
        changed = await stored.change_states(relays=await clocks(stored))
        return [one.vm_id for one in changed]

    await stored.move(3 * STALE_TIMEOUT)
    assert await went_down() == [beside]
    await stored.move(3 * STALE_TIMEOUT)
    assert await went_down() == []
    await relays.prove(stored.connection, relay_id, Said())
    await stored.move(STALE_TIMEOUT)
    # It has proved itself every second meanwhile.
    await stored.execute("UPDATE relay SET proved_at = defib_now()")
    assert await went_down() == []
    await stored.move(SECOND)
    assert await went_down() == [behind]


async def test_attempts_are_neither_spent_nor_forgiven_behind_a_dead_relay(stored: Stored) -> None:
    relay_id = await relay(stored)
    spent, well = await stored.down_vm(), await stored.reporting_vm()
    long_ago = stored.now - 600 * MINUTE
    await stored.set(spent, relay_id=relay_id, reset_attempts=3, last_attempt_at=long_ago)
    await stored.set(
        well,
        relay_id=relay_id,
        reset_attempts=1,
        last_attempt_at=long_ago,
        alive_since=LONG_AGO,
        stale_timeout=timedelta(days=1),
    )
    await stored.change_states(relays=await clocks(stored))
    assert (await stored.state(spent)).state == "down"
    assert (await stored.state(well)).reset_attempts == 1
    await relays.prove(stored.connection, relay_id, Said())
    await stored.change_states(relays=await clocks(stored))
    assert (await stored.state(spent)).state == "reset_failed"
    assert (await stored.state(well)).reset_attempts == 0
