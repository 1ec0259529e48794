"""What one heartbeat writes: the state row, the metric, and what flips with it."""

from datetime import UTC, datetime

import pytest

from support.stored import LONG_AGO, MINUTE, SECOND, Stored


async def test_every_reported_figure_is_kept(stored: Stored) -> None:
    vm_id = await stored.vm()
    agent_time = datetime(2023, 1, 1, tzinfo=UTC)
    found = await stored.report(
        vm_id,
        status="running",
        cpu=45.5,
        ram=2048,
        ram_total=4096,
        disk=50_000,
        disk_total=100_000,
        uptime=3600,
        boot_id="boot-7",
        agent_time=agent_time,
    )
    assert found == {vm_id}
    state = await stored.state(vm_id)
    figures = (state.cpu, state.ram, state.ram_total, state.disk, state.disk_total, state.uptime)
    assert figures == (45.5, 2048, 4096, 50_000, 100_000, 3600)
    assert (state.status, state.boot_id, state.agent_time) == ("running", "boot-7", agent_time)
    assert (state.last_heartbeat, state.reports, state.alive_since) == (stored.now, 1, stored.now)
    metrics = await stored.execute("SELECT * FROM vm_metric WHERE vm_id = :vm", vm=vm_id)
    assert [tuple(row) for row in metrics] == [(vm_id, stored.now, *figures)]


async def test_what_a_report_leaves_out_is_not_guessed(stored: Stored) -> None:
    vm_id = await stored.vm()
    await stored.report(vm_id, boot_id="boot-1")
    await stored.move(SECOND)
    await stored.report(
        vm_id, disk=None, disk_total=None, uptime=None, boot_id=None, agent_time=None
    )
    state = await stored.state(vm_id)
    assert (state.disk, state.disk_total, state.uptime, state.agent_time) == (None,) * 4
    assert state.boot_id == "boot-1"


@pytest.mark.parametrize(
    ("before", "cpu", "after", "reason"),
    [
        ("unknown", 10, "healthy", "FirstHeartbeat"),
        ("unknown", 95, "warning", "FirstHeartbeat"),
        ("healthy", 95, "warning", "ThresholdExceeded"),
        ("warning", 10, "healthy", "ThresholdsKept"),
        ("down", 10, "healthy", "HeartbeatFresh"),
        ("down", 95, "warning", "ThresholdExceeded"),
        ("reset_failed", 10, "healthy", "HeartbeatFresh"),
        ("reset_failed", 95, "warning", "ThresholdExceeded"),
    ],
)
async def test_a_flip_is_written_with_its_reason(
    stored: Stored, before: str, cpu: int, after: str, reason: str
) -> None:
    vm_id = await stored.vm()
    await stored.set(vm_id, state=before, last_heartbeat=LONG_AGO)
    await stored.report(vm_id, cpu=cpu)
    assert await stored.transitions(vm_id) == [(before, after, reason)]
    assert (await stored.state(vm_id)).state == after
    assert (await stored.state(vm_id)).state_since == stored.now


async def test_a_heartbeat_that_changes_nothing_writes_no_transition(stored: Stored) -> None:
    vm_id = await stored.vm()
    first = stored.now
    await stored.report(vm_id)
    await stored.move(30 * SECOND)
    await stored.report(vm_id)
    state = await stored.state(vm_id)
    assert await stored.transitions(vm_id) == [("unknown", "healthy", "FirstHeartbeat")]
    assert (state.reports, state.state_since, state.alive_since) == (2, first, first)
    assert state.last_heartbeat == stored.now


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cpu": 80.0}, "healthy"),
        ({"cpu": 80.1}, "warning"),
        ({"ram": 900, "ram_total": 1000}, "healthy"),
        ({"ram": 901, "ram_total": 1000}, "warning"),
        ({"ram": 2**31 - 1, "ram_total": 2**31 - 1}, "warning"),
    ],
)
async def test_strictly_above_a_threshold_is_a_warning(
    stored: Stored, changes: dict[str, float], expected: str
) -> None:
    vm_id = await stored.vm()
    await stored.report(vm_id, **changes)
    assert (await stored.state(vm_id)).state == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cpu": 33.3}, "healthy"),
        ({"cpu": 33.4}, "warning"),
        ({"ram": 851, "ram_total": 1000}, "healthy"),
        ({"ram": 852, "ram_total": 1000}, "warning"),
    ],
)
async def test_thresholds_of_its_own_with_decimals_are_exact(
    stored: Stored, changes: dict[str, float], expected: str
) -> None:
    vm_id = await stored.vm(cpu_threshold=33.3, ram_threshold=85.1)
    await stored.report(vm_id, **changes)
    assert (await stored.state(vm_id)).state == expected


async def test_coming_back_starts_the_time_of_being_alive_anew(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.move(MINUTE)
    await stored.report(vm_id)
    assert (await stored.state(vm_id)).alive_since == stored.now


async def test_a_warning_is_alive_all_the_same(stored: Stored) -> None:
    vm_id = await stored.vm()
    first = stored.now
    await stored.report(vm_id)
    await stored.move(MINUTE)
    await stored.report(vm_id, cpu=95)
    assert (await stored.state(vm_id)).alive_since == first


async def test_a_heartbeat_ends_the_hold_of_a_vm_that_was_down(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    began = stored.now
    await stored.execute(
        "INSERT INTO hold (vm_id, reason, message, started_at) VALUES (:vm, 'Paused', 'x', :at)",
        vm=vm_id,
        at=began,
    )
    await stored.move(MINUTE)
    await stored.report(vm_id)
    assert await stored.holds(vm_id) == [("Paused", began, stored.now)]


async def test_a_vm_that_does_not_exist_is_said_to_be_missing(stored: Stored) -> None:
    vm_id = await stored.vm()
    gone = vm_id + 1_000_000
    assert await stored.report(gone, vm_id) == {vm_id}
    assert await stored.value("SELECT count(*) FROM vm_metric WHERE vm_id = :vm", vm=gone) == 0


async def test_an_empty_batch_is_stored_too(stored: Stored) -> None:
    assert await stored.report() == frozenset()


async def test_a_batch_is_stored_whole(stored: Stored) -> None:
    vm_ids = [await stored.vm() for _ in range(20)]
    assert await stored.report(*reversed(vm_ids)) == set(vm_ids)
    healthy = await stored.value("SELECT count(*) FROM vm_state WHERE state = 'healthy'")
    assert healthy == await stored.value("SELECT count(*) FROM vm_metric") == 20


async def test_two_reports_at_one_moment_count_twice_but_are_one_point(stored: Stored) -> None:
    vm_id = await stored.vm()
    await stored.report(vm_id, cpu=10)
    await stored.report(vm_id, cpu=20)
    assert (await stored.state(vm_id)).reports == 2
    assert await stored.value("SELECT count(*) FROM vm_metric WHERE vm_id = :vm", vm=vm_id) == 1


async def test_a_tombstoned_vm_goes_on_being_stored(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.execute(
        "UPDATE vm SET uid = NULL, namespace = NULL, name = NULL,"
        " tombstoned_at = defib_now() WHERE id = :vm",
        vm=vm_id,
    )
    await stored.move(MINUTE)
    assert await stored.report(vm_id) == {vm_id}
    assert (await stored.state(vm_id)).last_heartbeat == stored.now
