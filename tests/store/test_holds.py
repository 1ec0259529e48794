"""A hold is an interval: one reason at a time, until another, a reset, or a heartbeat."""

from datetime import timedelta

import pytest

from defib_core.store import holds, mirror, sweep
from defib_core.store.holds import Held
from defib_core.store.sweep import Candidate
from support.stored import MINUTE, Stored


async def candidate(stored: Stored, vm_id: int) -> Candidate:
    found = await sweep.judged(stored.connection, vm_id, stored.now)
    assert found is not None
    return found


async def hold(stored: Stored, vm_id: int, reason: str, message: str = "x") -> bool:
    one = await candidate(stored, vm_id)
    return await sweep.hold(stored.connection, one, reason, message, stored.now)


async def test_the_first_reason_begins_a_hold(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    assert await hold(stored, vm_id, "Paused")
    assert await stored.holds(vm_id) == [("Paused", stored.now, None)]


async def test_the_same_reason_goes_on(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    began = stored.now
    await hold(stored, vm_id, "Paused", "until noon")
    await stored.move(MINUTE)
    assert not await hold(stored, vm_id, "Paused", "until one")
    assert await stored.holds(vm_id) == [("Paused", began, None)]
    assert (await candidate(stored, vm_id)).hold_message == "until one"


async def test_another_reason_takes_its_place(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    began = stored.now
    await hold(stored, vm_id, "Paused")
    changed = await stored.move(MINUTE)
    assert await hold(stored, vm_id, "VMLocked")
    assert await stored.holds(vm_id) == [
        ("Paused", began, changed),
        ("VMLocked", changed, None),
    ]


async def test_a_reset_ends_it(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    began = stored.now
    await hold(stored, vm_id, "Paused")
    await stored.move(MINUTE)
    await sweep.end_hold(stored.connection, vm_id, stored.now)
    assert await stored.holds(vm_id) == [("Paused", began, stored.now)]


async def test_a_clock_that_jumped_back_makes_no_hold_end_before_it_began(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    began = stored.now
    await hold(stored, vm_id, "Paused")
    await stored.move(timedelta(hours=-1))
    await sweep.end_hold(stored.connection, vm_id, stored.now)
    assert await stored.holds(vm_id) == [("Paused", began, began)]


async def test_no_hold_begins_for_a_vm_that_reported_meanwhile(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    seen = await candidate(stored, vm_id)
    await stored.report(vm_id)
    assert not await sweep.hold(stored.connection, seen, "Paused", "x", stored.now)
    assert await stored.holds(vm_id) == []


async def test_a_hold_that_a_heartbeat_did_not_see_ends_with_the_next_sweep(
    stored: Stored,
) -> None:
    vm_id = await stored.down_vm()
    began = stored.now
    await hold(stored, vm_id, "Paused")
    await stored.set(vm_id, state="healthy")
    await stored.move(MINUTE)
    await stored.change_states()
    assert await stored.holds(vm_id) == [("Paused", began, stored.now)]


@pytest.mark.parametrize("reason", ["NotQemu", "InvalidSpec"])
async def test_who_is_not_judged_any_more_is_not_held(stored: Stored, reason: str) -> None:
    vm_id = await stored.down_vm()
    await hold(stored, vm_id, "VMLocked")
    await stored.execute("UPDATE vm SET rejected = :why WHERE id = :vm", why=reason, vm=vm_id)
    await stored.change_states()
    assert (await stored.holds(vm_id))[0][2] == stored.now


async def test_the_hold_of_a_vm_that_is_down_outlives_the_sweep(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await hold(stored, vm_id, "VMLocked")
    await stored.move(MINUTE)
    await stored.change_states()
    assert (await stored.holds(vm_id))[0][2] is None


async def test_a_deleted_object_ends_the_hold(stored: Stored) -> None:
    vm_id = await stored.down_vm(vmid=100)
    await hold(stored, vm_id, "Paused")
    await mirror.tombstone(stored.connection, ["uid-100"], stored.now)
    assert (await stored.holds(vm_id))[0][2] == stored.now


async def test_when_what_held_is_over_the_clock_restarts_once(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await hold(stored, vm_id, "VMLocked")
    await stored.move(MINUTE)
    await sweep.restart_clocks(stored.connection, [vm_id], stored.now)
    assert (await stored.state(vm_id)).clock_floor == stored.now
    one = await candidate(stored, vm_id)
    assert (one.hold_reason, one.hold_released) == ("VMLocked", True)


async def test_the_same_hold_again_is_to_be_released_again(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    began = stored.now
    await hold(stored, vm_id, "VMLocked")
    await sweep.restart_clocks(stored.connection, [vm_id], stored.now)
    await stored.move(MINUTE)
    assert not await hold(stored, vm_id, "VMLocked")
    assert not (await candidate(stored, vm_id)).hold_released
    assert await stored.holds(vm_id) == [("VMLocked", began, None)]


# many at once


async def hold_all(stored: Stored, held: list[tuple[int, str, str]]) -> frozenset[int]:
    wanted = [Held(*one) for one in held]
    return await holds.hold_all(stored.connection, wanted, stored.now)


async def test_many_are_held_at_once_each_for_its_own_reason(stored: Stored) -> None:
    first, second, third = [await stored.down_vm() for _ in range(3)]
    began = stored.now
    await hold(stored, first, "Paused", "until noon")
    await hold(stored, second, "Paused", "x")
    now = await stored.move(MINUTE)
    opened = await hold_all(
        stored,
        [(first, "Paused", "until one"), (second, "VMLocked", "y"), (third, "VMLocked", "z")],
    )
    assert opened == {second, third}
    assert await stored.holds(first) == [("Paused", began, None)]
    assert (await candidate(stored, first)).hold_message == "until one"
    assert await stored.holds(second) == [("Paused", began, now), ("VMLocked", now, None)]
    assert await stored.holds(third) == [("VMLocked", now, None)]


async def test_the_same_holds_again_write_nothing(stored: Stored) -> None:
    vm_ids = [await stored.down_vm() for _ in range(3)]
    held = [(vm_id, "FleetBrake", "too many") for vm_id in vm_ids]
    assert await hold_all(stored, held) == set(vm_ids)
    await stored.execute("DELETE FROM status_outbox")
    await stored.move(MINUTE)
    assert await hold_all(stored, held) == frozenset()
    assert await stored.execute("SELECT vm_id FROM status_outbox") == []


# signs of life that last too long

HOUR = 60 * MINUTE


async def test_a_sign_of_life_for_an_hour_alerts_once(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await hold(stored, vm_id, "IOActive")
    await stored.move(HOUR - MINUTE)
    assert await holds.alert(stored.connection, stored.now) == []
    await stored.move(MINUTE)
    assert await holds.alert(stored.connection, stored.now) == [vm_id]
    await stored.move(HOUR)
    assert await holds.alert(stored.connection, stored.now) == []


async def test_signs_of_different_kinds_are_one_story(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    for reason in ("IOActive", "GuestAgentAlive", "IOActive", "GuestAgentAlive"):
        await hold(stored, vm_id, reason)
        await stored.move(20 * MINUTE)
    assert await holds.alert(stored.connection, stored.now) == [vm_id]
    await hold(stored, vm_id, "IOActive")
    assert await holds.alert(stored.connection, stored.now) == []


async def test_other_holds_do_not_alert_and_a_heartbeat_ends_the_story(stored: Stored) -> None:
    locked, alive = await stored.down_vm(), await stored.down_vm()
    await hold(stored, locked, "VMLocked")
    await hold(stored, alive, "IOActive")
    await stored.move(HOUR)
    await stored.report(alive)
    assert await holds.alert(stored.connection, stored.now) == []
