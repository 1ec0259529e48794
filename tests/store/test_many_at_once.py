"""What a mass outage writes: each VM's history in full, and few rows for people."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from defib_core.store import holds
from defib_core.store.holds import Held
from defib_core.store.notices import ONE_BY_ONE
from support.stored import STALE_TIMEOUT, Stored

MORE = ONE_BY_ONE + 1


async def reporting(stored: Stored, number: int, *, nodes: int = 1) -> list[int]:
    """So many VMs that report, in turn on so many nodes."""
    vm_ids = [await stored.reporting_vm() for _ in range(number)]
    for place, vm_id in enumerate(vm_ids):
        node = f"pve{place % nodes}"
        await stored.execute("UPDATE vm SET node = :node WHERE id = :vm", node=node, vm=vm_id)
    for table in ("status_outbox", "fleet_change", "notice"):
        await stored.execute(f"DELETE FROM {table}")
    return vm_ids


async def all_go_down(stored: Stored, vm_ids: Sequence[int]) -> None:
    silent = stored.now - 2 * STALE_TIMEOUT
    for vm_id in vm_ids:
        await stored.set(vm_id, last_heartbeat=silent)
    assert len(await stored.change_states()) == len(vm_ids)


async def notices(stored: Stored) -> Sequence[Row[Any]]:
    return await stored.execute("SELECT * FROM notice ORDER BY id")


async def queued(stored: Stored) -> list[int]:
    rows = await stored.execute("SELECT vm_id FROM status_outbox ORDER BY vm_id")
    return [row.vm_id for row in rows]


async def numbered(stored: Stored) -> list[int]:
    rows = await stored.execute("SELECT vm_id FROM fleet_change ORDER BY vm_id")
    return [row.vm_id for row in rows]


# people


async def test_a_few_that_go_down_are_noted_one_by_one(stored: Stored) -> None:
    vm_ids = await reporting(stored, ONE_BY_ONE, nodes=2)
    await all_go_down(stored, vm_ids)
    noted = await notices(stored)
    assert sorted(one.vm_id for one in noted) == vm_ids
    assert {(one.kind, one.scope, one.vm_ids) for one in noted} == {("VmDown", None, None)}


async def test_more_are_noted_as_a_group_for_each_node_and_none_is_lost(stored: Stored) -> None:
    vm_ids = await reporting(stored, 2 * MORE, nodes=2)
    await stored.set(vm_ids[0], state="warning")
    await all_go_down(stored, vm_ids)
    first, second = sorted(await notices(stored), key=lambda one: str(one.scope))
    assert (first.scope, first.kind) == ("node default/pve0", "VmDown")
    assert (first.vm_ids, second.vm_ids) == (vm_ids[::2], vm_ids[1::2])
    assert first.detail == ("healthy -> down: HeartbeatMissing; warning -> down: HeartbeatMissing")
    assert second.detail == "healthy -> down: HeartbeatMissing"
    changes = await stored.execute("SELECT id FROM vm_transition WHERE to_state = 'down'")
    assert {*first.stands_for, *second.stands_for} == {row.id for row in changes}
    assert len(changes) == len(vm_ids)


async def test_the_only_one_of_its_node_is_named_though_many_are_noted(stored: Stored) -> None:
    *vm_ids, alone = await reporting(stored, MORE + 1)
    await stored.execute("UPDATE vm SET node = 'pve9' WHERE id = :vm", vm=alone)
    await all_go_down(stored, [*vm_ids, alone])
    noted = await notices(stored)
    assert {(one.vm_id, one.scope) for one in noted} == {(None, "node default/pve0"), (alone, None)}


async def test_many_on_many_nodes_are_one_notice(stored: Stored) -> None:
    vm_ids = await reporting(stored, MORE, nodes=MORE)
    await all_go_down(stored, vm_ids)
    (one,) = await notices(stored)
    assert (one.scope, one.vm_ids) == ("several nodes", vm_ids)


async def test_many_that_come_back_with_one_batch_are_noted_as_a_group(stored: Stored) -> None:
    vm_ids = await reporting(stored, MORE)
    await all_go_down(stored, vm_ids)
    await stored.report(*vm_ids)
    down, back = await notices(stored)
    assert (down.kind, back.kind) == ("VmDown", "VmRecovered")
    assert back.vm_ids == vm_ids


# statuses, and what the dashboard is told


async def test_each_change_of_many_queues_its_vm_once(stored: Stored) -> None:
    vm_ids = await reporting(stored, MORE)
    await all_go_down(stored, vm_ids)
    assert (await queued(stored), await numbered(stored)) == (vm_ids, vm_ids)

    await stored.execute("DELETE FROM status_outbox")
    held = [Held(vm_id, "FleetBrake", "too many") for vm_id in vm_ids]
    await holds.hold_all(stored.connection, held, stored.now)
    assert await queued(stored) == vm_ids

    await stored.execute("DELETE FROM status_outbox")
    held = [Held(vm_id, "FleetBrake", "still too many") for vm_id in vm_ids[:3]]
    await holds.hold_all(stored.connection, held, stored.now)
    assert await queued(stored) == vm_ids[:3]


async def test_resets_and_pauses_queue_their_vm(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    for statement in (
        """INSERT INTO pause (vm_id, reason, started_by, started_at)
           VALUES (:vm, 'x', 'ann', defib_now())""",
        "UPDATE pause SET reason = 'y' WHERE vm_id = :vm",
        """INSERT INTO reset_history (vm_id, action, source, actor, reason, attempt, requested_at)
           VALUES (:vm, 'Reset', 'api', 'ann', 'x', 1, defib_now())""",
        "UPDATE reset_history SET reason = 'y' WHERE vm_id = :vm",
    ):
        await stored.execute("DELETE FROM status_outbox")
        await stored.execute(statement, vm=vm_id)
        assert await queued(stored) == [vm_id], statement


async def test_what_changes_nothing_queues_nothing(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.execute("DELETE FROM status_outbox")
    await stored.execute("UPDATE hold SET message = 'x' WHERE vm_id = :vm", vm=vm_id)
    await stored.change_states()
    assert await queued(stored) == []
