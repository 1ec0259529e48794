"""What the API reads: VMs, their resets, the fleet's counts."""

from defib_core.domain.actions import Action, Phase, Source
from defib_core.domain.states import State
from defib_core.store import execution, reads, sweep
from support.stored import MINUTE, NAMESPACE, Stored


async def test_a_vm_is_shown_with_its_figures(stored: Stored) -> None:
    vm_id = await stored.vm(100, name="web", hostname="web-01", labels={"rack": "r1"})
    await stored.report(vm_id, cpu=45.5, ram=2048, ram_total=4096, disk=5, disk_total=9, uptime=3)
    found = await reads.one_vm(stored.connection, vm_id)
    assert found is not None
    assert (found.id, found.vmid, found.cluster, found.hostname) == (
        vm_id,
        100,
        "default",
        "web-01",
    )
    assert (found.namespace, found.name, found.labels) == (NAMESPACE, "web", {"rack": "r1"})
    assert (found.state, found.state_since, found.last_heartbeat) == (
        State.HEALTHY,
        stored.now,
        stored.now,
    )
    assert (found.status, found.cpu, found.ram, found.ram_total) == ("running", 45.5, 2048, 4096)
    assert (found.disk, found.disk_total, found.uptime) == (5, 9, 3)
    assert (found.reset_attempts, found.max_attempts, found.reset_pending) == (0, 3, False)


async def test_a_vm_that_never_reported_has_no_figures(stored: Stored) -> None:
    found = await reads.one_vm(stored.connection, await stored.vm())
    assert found is not None
    assert (found.state, found.last_heartbeat) == (State.UNKNOWN, None)
    assert (found.status, found.cpu, found.ram, found.disk, found.uptime) == (None,) * 5


async def test_a_vm_that_does_not_exist_is_not_shown(stored: Stored) -> None:
    assert await reads.one_vm(stored.connection, 10**9) is None


async def test_the_open_hold_and_the_pause_are_shown(stored: Stored) -> None:
    vm_id = await stored.down_vm(paused_reason="patching", paused_until=stored.now)
    [one] = await sweep.candidates(stored.connection, stored.now)
    await sweep.hold(stored.connection, one, "VMLocked", "it is locked", stored.now)
    found = await reads.one_vm(stored.connection, vm_id)
    assert found is not None
    assert (found.hold_reason, found.hold_message, found.hold_since) == (
        "VMLocked",
        "it is locked",
        stored.now,
    )
    assert (found.paused_reason, found.paused_until) == ("patching", stored.now)


async def test_resets_are_shown_the_newest_first(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    first = await stored.send(vm_id, Action.STOP_START, source=Source.DASHBOARD)
    await stored.end(first, Phase.FAILED)
    await stored.move(MINUTE)
    second = await stored.ask(vm_id)
    await execution.cancel(
        stored.connection, second, reason="VMLocked", message="it is locked", now=stored.now
    )
    found = await reads.resets_of(stored.connection, vm_id, 10)
    assert [one.id for one in found] == [second, first]
    assert (found[0].phase, found[0].cancelled_by, found[0].error) == (
        Phase.CANCELLED,
        "VMLocked",
        "it is locked",
    )
    assert (found[1].phase, found[1].action, found[1].source) == (
        Phase.FAILED,
        Action.STOP_START,
        Source.DASHBOARD,
    )
    assert (found[1].node, found[1].upid, found[1].attempt) == ("pve1", f"UPID:{first}", 1)
    assert await reads.resets_of(stored.connection, vm_id, 1) == found[:1]


async def test_a_vm_without_resets_has_none(stored: Stored) -> None:
    assert await reads.resets_of(stored.connection, await stored.vm(), 10) == []


async def test_one_reset_is_found_by_its_id(stored: Stored) -> None:
    intent_id = await stored.ask(await stored.down_vm())
    found = await reads.one_reset(stored.connection, intent_id)
    assert found is not None
    assert (found.id, found.phase) == (intent_id, Phase.REQUESTED)
    assert await reads.one_reset(stored.connection, intent_id + 1) is None


async def test_the_fleet_is_counted_by_state(stored: Stored) -> None:
    await stored.configure(cpu_threshold=70)
    for state in ("healthy", "healthy", "warning", "down", "reset_failed"):
        await stored.set(await stored.vm(), state=state, last_heartbeat=stored.now)
    await stored.vm()
    found = await reads.fleet_counts(stored.connection, NAMESPACE)
    assert found.by_state == {
        State.UNKNOWN: 1,
        State.HEALTHY: 2,
        State.WARNING: 1,
        State.DOWN: 1,
        State.RESET_FAILED: 1,
    }
    assert found.config["cpuThreshold"] == 70


async def test_a_fleet_without_vms_is_counted_too(stored: Stored) -> None:
    found = await reads.fleet_counts(stored.connection, NAMESPACE)
    assert set(found.by_state.values()) == {0}
