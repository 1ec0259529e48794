"""VirtualMachines in the database: put in force, adopted, disputed, renamed, taken out."""

from datetime import timedelta

import pytest

from defib_core.config.resources import VIRTUAL_MACHINE
from defib_core.store import mirror
from defib_core.store.mirror import Conflict, Displaced, Mirrored
from support.stored import CREATED, MINUTE, NAMESPACE, SECOND, Stored, vm_object

OLDER, YOUNGER = CREATED, CREATED + SECOND


async def put(stored: Stored, vmid: int, **changes: object) -> Mirrored | Conflict | Displaced:
    return await mirror.mirror_vm(stored.connection, vm_object(vmid, **changes), stored.now)


async def queued(stored: Stored) -> set[int]:
    return {row.vm_id for row in await stored.execute("SELECT vm_id FROM status_outbox")}


# put in force


async def test_a_new_vm_is_kept_as_its_object_says(stored: Stored) -> None:
    until = stored.now + MINUTE
    vm_id = await stored.vm(
        4711,
        name="web",
        uid="u1",
        generation=7,
        hostname="web-01",
        proxmox_name="prod-web",
        enabled=False,
        steps=("StopStart",),
        paused_reason="patching",
        paused_until=until,
        labels={"rack": "r1"},
    )
    row = await stored.record(vm_id)
    assert (row.namespace, row.name, row.uid, row.generation) == (NAMESPACE, "web", "u1", 7)
    assert (row.vmid, row.hostname, row.proxmox_name) == (4711, "web-01", "prod-web")
    assert (row.remediation_enabled, row.steps) == (False, ["StopStart"])
    assert (row.paused_reason, row.paused_until) == ("patching", until)
    assert (row.labels, row.registered_by) == ({"rack": "r1"}, "manifest")
    assert (row.managed_at, row.object_created_at) == (stored.now, CREATED)
    assert (row.tombstoned_at, row.rejected) == (None, None)


async def test_a_new_vm_is_unknown(stored: Stored) -> None:
    state = await stored.state(await stored.vm())
    assert (state.state, state.reports, state.clock_floor) == ("unknown", 0, stored.now)


async def test_overrides_are_in_force_and_the_config_where_there_are_none(stored: Stored) -> None:
    vm_id = await stored.vm(100, stale_timeout=2 * MINUTE, ram_threshold=50.5, max_attempts=9)
    state = await stored.state(vm_id)
    assert (state.stale_timeout, state.ram_threshold, state.max_attempts) == (2 * MINUTE, 50.5, 9)
    assert state.cpu_threshold == 80
    await stored.vm(100)
    state = await stored.state(vm_id)
    assert (state.stale_timeout, state.ram_threshold, state.max_attempts) == (5 * MINUTE, 90, 3)


async def test_the_same_object_again_changes_nothing(stored: Stored) -> None:
    vm_id = await stored.vm(100)
    before = (await stored.record(vm_id), await stored.state(vm_id))
    await stored.move(MINUTE)
    assert await put(stored, 100) == Mirrored(vm_id)
    assert (await stored.record(vm_id), await stored.state(vm_id)) == before


async def test_its_status_is_written_again(stored: Stored) -> None:
    vm_id = await stored.vm(100)
    await stored.execute("DELETE FROM status_outbox")
    await put(stored, 100)
    assert await queued(stored) == {vm_id}


# adopted


async def test_a_vm_that_registered_itself_is_adopted(stored: Stored) -> None:
    vm_id = await stored.agent_vm(100)
    await stored.report(vm_id)
    await stored.move(MINUTE)
    assert await put(stored, 100) == Mirrored(vm_id)
    row, state = await stored.record(vm_id), await stored.state(vm_id)
    assert (row.uid, row.registered_by, row.managed_at) == ("uid-100", "agent", stored.now)
    assert (state.state, state.reports) == ("healthy", 1)


async def test_its_clock_starts_when_it_comes_under_management(stored: Stored) -> None:
    vm_id = await stored.agent_vm(100)
    await stored.report(vm_id)
    await stored.move(MINUTE)
    await put(stored, 100)
    assert (await stored.state(vm_id)).clock_floor == stored.now


async def test_a_change_of_its_object_does_not_start_its_clock(stored: Stored) -> None:
    vm_id = await stored.vm(100)
    floor = stored.now
    await stored.move(MINUTE)
    await put(stored, 100, generation=2, cpu_threshold=50.0, labels={"a": "b"}, enabled=False)
    assert (await stored.state(vm_id)).clock_floor == floor
    assert (await stored.record(vm_id)).managed_at == floor


# two objects for one VM


async def test_of_two_objects_the_older_stays(stored: Stored) -> None:
    vm_id = await stored.vm(100, name="old", uid="o", created_at=OLDER)
    result = await put(stored, 100, name="new", uid="n", created_at=YOUNGER)
    assert result == Conflict(NAMESPACE, "old")
    assert (await stored.record(vm_id)).name == "old"


async def test_of_two_objects_the_older_takes_over(stored: Stored) -> None:
    vm_id = await stored.vm(100, name="new", uid="n", created_at=YOUNGER)
    result = await put(stored, 100, name="old", uid="o", created_at=OLDER)
    assert result == Displaced(vm_id, NAMESPACE, "new")
    assert (await stored.record(vm_id)).name == "old"


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
async def test_of_two_objects_of_one_age_the_same_one_always_stays(
    stored: Stored, first: str, second: str
) -> None:
    await put(stored, 100, name=first, uid=first)
    await put(stored, 100, name=second, uid=second)
    assert await stored.value("SELECT name FROM vm WHERE vmid = 100") == "a"


async def test_when_the_owner_is_deleted_the_younger_takes_its_place(stored: Stored) -> None:
    vm_id = await stored.vm(100, name="old", uid="o", created_at=OLDER)
    await mirror.tombstone(stored.connection, ["o"], stored.now)
    result = await put(stored, 100, name="new", uid="n", created_at=YOUNGER)
    assert result == Mirrored(vm_id)


# renamed and recreated


async def test_an_object_that_is_recreated_stands_for_the_same_vm(stored: Stored) -> None:
    vm_id = await stored.vm(100, name="web", uid="first", created_at=OLDER)
    await stored.move(MINUTE)
    result = await put(stored, 100, name="web", uid="second", created_at=YOUNGER)
    assert result == Mirrored(vm_id)
    row = await stored.record(vm_id)
    assert (row.uid, row.managed_at) == ("second", stored.now)


async def test_the_deletion_of_the_former_object_comes_too_late_to_matter(stored: Stored) -> None:
    vm_id = await stored.vm(100, name="web", uid="first")
    await put(stored, 100, name="web", uid="second")
    assert await mirror.tombstone(stored.connection, ["first"], stored.now) == []
    assert (await stored.record(vm_id)).uid == "second"


async def test_a_name_that_is_recreated_for_another_vm_leaves_the_first_without_an_object(
    stored: Stored,
) -> None:
    first = await stored.vm(100, name="web", uid="first")
    second = await stored.vm(101, name="web", uid="second")
    assert first != second
    row = await stored.record(first)
    assert (row.uid, row.name, row.tombstoned_at) == (None, None, stored.now)
    assert (await stored.record(second)).name == "web"


async def test_one_name_in_two_namespaces_is_two_objects(stored: Stored) -> None:
    first = await stored.vm(100, name="web", uid="a")
    second = await stored.vm(100, name="web", uid="b", namespace="other")
    assert first != second
    assert (await stored.record(first)).uid == "a"


# taken out


async def test_a_deleted_object_leaves_a_tombstone(stored: Stored) -> None:
    vm_id = await stored.vm(100, hostname="web-01", paused_reason="patching")
    other = await stored.vm(101)
    assert await mirror.tombstone(stored.connection, ["uid-100"], stored.now) == [vm_id]
    row = await stored.record(vm_id)
    assert (row.uid, row.namespace, row.name) == (None, None, None)
    assert (row.tombstoned_at, row.hostname) == (stored.now, "web-01")
    assert row.paused_reason is None
    assert (await stored.record(other)).tombstoned_at is None


async def test_applied_again_it_is_managed_from_then_on(stored: Stored) -> None:
    vm_id = await stored.down_vm(vmid=100)
    await mirror.tombstone(stored.connection, ["uid-100"], stored.now)
    await stored.move(MINUTE)
    assert await put(stored, 100, uid="again") == Mirrored(vm_id)
    row = await stored.record(vm_id)
    assert (row.tombstoned_at, row.managed_at, row.uid) == (None, stored.now, "again")
    assert (await stored.state(vm_id)).clock_floor == stored.now


async def test_what_is_known_is_known_by_namespace(stored: Stored) -> None:
    await stored.vm(100, uid="a")
    await stored.vm(101, uid="b", namespace="other")
    await stored.agent_vm(102)
    known = mirror.known_uids
    assert await known(stored.connection, VIRTUAL_MACHINE, NAMESPACE) == {"a"}
    assert await known(stored.connection, VIRTUAL_MACHINE, "other") == {"b"}
    assert await known(stored.connection, VIRTUAL_MACHINE, None) == {"a", "b"}


# refused


async def test_an_object_that_became_invalid_is_watched_and_not_reset(stored: Stored) -> None:
    vm_id = await stored.vm(100)
    assert await mirror.reject_vm(stored.connection, "uid-100", 2, "vmid: is required")
    row = await stored.record(vm_id)
    assert (row.rejected, row.rejected_message) == ("InvalidSpec", "vmid: is required")
    assert vm_id in await queued(stored)
    await put(stored, 100, generation=3)
    row = await stored.record(vm_id)
    assert (row.rejected, row.rejected_message, row.generation) == (None, None, 3)


async def test_an_object_that_is_not_mirrored_cannot_become_invalid(stored: Stored) -> None:
    assert not await mirror.reject_vm(stored.connection, "nobody", 1, "x")


async def test_a_container_stays_one_whatever_its_object_says(stored: Stored) -> None:
    vm_id = await stored.vm(100)
    await stored.execute(
        "UPDATE vm SET rejected = 'NotQemu', rejected_message = 'it is a container'"
    )
    await put(stored, 100, generation=2)
    assert (await stored.record(vm_id)).rejected == "NotQemu"


# pauses


async def test_a_pause_that_is_ended_by_hand_starts_the_clock(stored: Stored) -> None:
    vm_id = await stored.vm(100, paused_reason="patching")
    await stored.move(MINUTE)
    await put(stored, 100)
    assert (await stored.state(vm_id)).clock_floor == stored.now
    assert (await stored.record(vm_id)).paused_reason is None


async def test_a_pause_whose_end_is_moved_into_the_past_starts_the_clock(stored: Stored) -> None:
    vm_id = await stored.vm(100, paused_reason="patching", paused_until=stored.now + 60 * MINUTE)
    await stored.move(10 * MINUTE)
    ended = stored.now - 5 * MINUTE
    await put(stored, 100, paused_reason="patching", paused_until=ended)
    assert (await stored.state(vm_id)).clock_floor == stored.now


@pytest.mark.parametrize("until", [None, 2 * MINUTE])
async def test_a_pause_that_goes_on_does_not_start_the_clock(
    stored: Stored, until: timedelta | None
) -> None:
    vm_id = await stored.vm(100, paused_reason="patching")
    floor = stored.now
    await stored.move(MINUTE)
    end = None if until is None else stored.now + until
    await put(stored, 100, paused_reason="another reason", paused_until=end)
    assert (await stored.state(vm_id)).clock_floor == floor


async def test_a_pause_that_was_over_already_does_not_start_the_clock(stored: Stored) -> None:
    vm_id = await stored.vm(100, paused_reason="patching", paused_until=stored.now)
    floor = stored.now
    await stored.move(MINUTE)
    await put(stored, 100)
    assert (await stored.state(vm_id)).clock_floor == floor
