"""The queue of statuses to write, and what a status is made of."""

from defib_core.domain.actions import Phase, Source
from defib_core.domain.states import State
from defib_core.store import execution, projection, sweep
from defib_core.store.projection import LastChange, LastReset, Unregistered, VmStatus
from support.stored import MINUTE, NAMESPACE, STALE_TIMEOUT, Stored


async def status(stored: Stored, vm_id: int) -> VmStatus:
    [found] = await projection.statuses(stored.connection, frozenset({vm_id}))
    return found


async def queued(stored: Stored) -> set[int]:
    found = await projection.next_queued(stored.connection, 1000)
    return set() if found is None else set(found.vm_ids)


async def empty_queue(stored: Stored) -> None:
    await stored.execute("DELETE FROM status_outbox")


# the queue


async def test_a_transition_queues(stored: Stored) -> None:
    vm_id = await stored.vm()
    await empty_queue(stored)
    await stored.report(vm_id)
    assert await queued(stored) == {vm_id}
    await empty_queue(stored)
    await stored.report(vm_id)
    assert await queued(stored) == set()


async def test_each_step_of_a_reset_queues(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await empty_queue(stored)
    intent_id = await stored.ask(vm_id)
    assert await queued(stored) == {vm_id}
    await empty_queue(stored)
    await stored.claim(intent_id)
    assert await queued(stored) == {vm_id}
    await empty_queue(stored)
    await stored.end(intent_id)
    assert await queued(stored) == {vm_id}


async def test_a_hold_queues_when_it_begins_and_when_it_ends(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await empty_queue(stored)
    [one] = await sweep.candidates(stored.connection, stored.now)
    await sweep.hold(stored.connection, one, "Paused", "x", stored.now)
    assert await queued(stored) == {vm_id}
    await empty_queue(stored)
    await sweep.end_hold(stored.connection, vm_id, stored.now)
    assert await queued(stored) == {vm_id}


async def test_the_oldest_come_first_and_each_vm_once(stored: Stored) -> None:
    await empty_queue(stored)
    for vm_id in (5, 3, 5, 7):
        await stored.execute("INSERT INTO status_outbox (vm_id) VALUES (:vm)", vm=vm_id)
    found = await projection.next_queued(stored.connection, 3)
    assert found is not None
    assert (set(found.vm_ids), len(found.row_ids)) == ({3, 5}, 3)


async def test_what_was_written_is_settled_and_what_came_meanwhile_is_not(
    stored: Stored,
) -> None:
    await empty_queue(stored)
    await stored.execute("INSERT INTO status_outbox (vm_id) VALUES (5)")
    found = await projection.next_queued(stored.connection, 10)
    assert found is not None
    await stored.execute("INSERT INTO status_outbox (vm_id) VALUES (5)")
    await projection.settle(stored.connection, found)
    assert await queued(stored) == {5}


async def test_what_could_not_be_written_is_queued_again(stored: Stored) -> None:
    await empty_queue(stored)
    await stored.execute("INSERT INTO status_outbox (vm_id) VALUES (5), (6)")
    found = await projection.next_queued(stored.connection, 10)
    assert found is not None
    await projection.settle(stored.connection, found, again=[6])
    assert await queued(stored) == {6}


async def test_an_empty_queue_is_empty(stored: Stored) -> None:
    await empty_queue(stored)
    assert await projection.next_queued(stored.connection, 10) is None


# what a status is made of


async def test_a_status_tells_of_the_vm_and_its_figures(stored: Stored) -> None:
    vm_id = await stored.vm(100, name="web", uid="u", generation=7, hostname="web-01")
    await stored.report(vm_id, cpu=45.5, ram=2048, ram_total=4096)
    found = await status(stored, vm_id)
    assert (found.namespace, found.name, found.uid, found.generation) == (
        NAMESPACE,
        "web",
        "u",
        7,
    )
    assert (found.hostname, found.state, found.last_heartbeat) == (
        "web-01",
        State.HEALTHY,
        stored.now,
    )
    assert (found.cpu, found.ram, found.ram_total, found.reports) == (45.5, 2048, 4096, 1)
    assert (found.cluster, found.cluster_known, found.auto_reset_enabled) == (
        "default",
        False,
        True,
    )
    assert (found.last_reset, found.hold_reason, found.written) == (None, None, None)
    assert found.last_change is not None
    assert found.last_change == LastChange(
        found.last_change.id, stored.now, "unknown", "healthy", "FirstHeartbeat"
    )


async def test_the_newest_transition_is_the_last_change(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.move(STALE_TIMEOUT + MINUTE)
    await stored.change_states()
    change = (await status(stored, vm_id)).last_change
    assert change is not None
    assert (change.from_state, change.to_state, change.reason, change.at) == (
        "healthy",
        "down",
        "HeartbeatMissing",
        stored.now,
    )


async def test_the_last_reset_is_the_newest_that_was_sent(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    asked = stored.now
    intent_id = await stored.send(vm_id, reason="it hangs")
    await stored.end(intent_id, Phase.FAILED)
    await stored.move(MINUTE)
    later = await stored.decide(vm_id)
    assert later is not None
    await execution.cancel(stored.connection, later, reason="VMLocked", message="x", now=stored.now)
    found = (await status(stored, vm_id)).last_reset
    assert found == LastReset(asked, "it hangs", "failed", f"UPID:{intent_id}", None)


async def test_a_person_is_told_why_their_reset_was_not_sent(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.ask(vm_id, source=Source.ANNOTATION, reason="please")
    await execution.cancel(
        stored.connection, intent_id, reason="VMLocked", message="it is locked", now=stored.now
    )
    found = (await status(stored, vm_id)).last_reset
    assert found == LastReset(stored.now, "please", "cancelled", None, "it is locked")


async def test_a_dry_run_is_a_last_reset_too(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.dry_run(vm_id)
    found = (await status(stored, vm_id)).last_reset
    assert found is not None
    assert found.outcome == "dry_run"


async def test_the_open_hold_is_told_and_one_that_ended_is_not(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    [one] = await sweep.candidates(stored.connection, stored.now)
    await sweep.hold(stored.connection, one, "VMLocked", "it is locked", stored.now)
    found = await status(stored, vm_id)
    assert (found.hold_reason, found.hold_message) == ("VMLocked", "it is locked")
    await sweep.end_hold(stored.connection, vm_id, stored.now)
    assert (await status(stored, vm_id)).hold_reason is None


async def test_what_was_written_belongs_to_the_object_it_was_written_to(stored: Stored) -> None:
    vm_id = await stored.vm(100, name="web", uid="first")
    written = [(await status(stored, vm_id), {"health": "healthy"})]
    await projection.wrote(stored.connection, written, stored.now)
    assert (await status(stored, vm_id)).written == {"health": "healthy"}
    await stored.vm(100, name="web", uid="second")
    assert (await status(stored, vm_id)).written is None


async def test_without_an_object_there_is_no_status(stored: Stored) -> None:
    vm_id = await stored.agent_vm()
    assert await projection.statuses(stored.connection, frozenset({vm_id})) == []


# VMs without an object


async def test_a_vm_that_registered_itself_waits_for_its_object(stored: Stored) -> None:
    vm_id = await stored.agent_vm(100, hostname="web-01")
    assert await projection.unregistered(stored.connection, 10) == [
        Unregistered(vm_id, 100, "web-01", "default", NAMESPACE)
    ]
    await stored.vm(100)
    assert await projection.unregistered(stored.connection, 10) == []


async def test_a_tombstoned_vm_gets_no_new_object(stored: Stored) -> None:
    vm_id = await stored.agent_vm(100)
    await stored.execute("UPDATE vm SET tombstoned_at = defib_now() WHERE id = :vm", vm=vm_id)
    assert await projection.unregistered(stored.connection, 10) == []


async def test_where_registration_is_off_nobody_gets_an_object(stored: Stored) -> None:
    await stored.agent_vm(100)
    await stored.configure(auto_register=False)
    assert await projection.unregistered(stored.connection, 10) == []


async def test_so_many_at_a_time(stored: Stored) -> None:
    for _ in range(3):
        await stored.agent_vm()
    assert len(await projection.unregistered(stored.connection, 2)) == 2
