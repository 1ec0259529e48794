"""What is read for an explanation agrees with what the operator decides from the same database."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from controls.judged import prove, sweep_once, verdict_on
from defib_core.config.system_config import MaintenanceSpec, SafetySpec
from defib_core.domain.actions import Action, Phase, Source
from defib_core.domain.decide import Hold
from defib_core.domain.explain import explain
from defib_core.domain.explain_text import text_of
from defib_core.domain.explanation import CheckResult, Explanation, VerdictKind
from defib_core.domain.reasons import HoldReason
from defib_core.store import controls, intents, mirror, sweep
from defib_core.store.controls import Who, WindowWish
from defib_core.store.explain import STARTED_AGAIN, facts_of
from defib_operator.braking import keep_brakes
from defib_operator.judging import set_scene
from support.stored import MINUTE, SECOND, STALE_TIMEOUT, Stored

KIM = Who("kim", Source.API)
HOUR = timedelta(hours=1)
RACK = {"rack": "r7"}

Change = Callable[[Stored, int], Awaitable[None]]


async def told_of(stored: Stored, vm_id: int) -> Explanation:
    facts = await facts_of(stored.connection, vm_id, stored.now)
    assert facts is not None
    return explain(facts)


async def operator_sweeps(stored: Stored) -> None:
    """All of a sweep but the look at Proxmox: states, brakes, and that it swept."""
    await sweep_once(stored)
    scene = await set_scene(stored.connection, stored.now, stored.now)
    await keep_brakes(stored.connection, scene.brakes, stored.now)
    await sweep.swept(stored.connection, stored.now, 0.1)


# the same verdict


async def nothing(_: Stored, __: int) -> None: ...


async def stop(stored: Stored, _: int) -> None:
    await controls.begin_global_stop(stored.connection, KIM, "storage", stored.now)


async def no_auto_reset(stored: Stored, _: int) -> None:
    await stored.configure(auto_reset_enabled=False)


async def pause(stored: Stored, vm_id: int) -> None:
    await controls.pause(stored.connection, KIM, vm_id, "disk", stored.now + HOUR, stored.now)


async def pause_in_spec(stored: Stored, vm_id: int) -> None:
    record = await stored.record(vm_id)
    await stored.vm(vmid=record.vmid, labels=RACK, paused_reason="disk")


async def not_to_be_remedied(stored: Stored, vm_id: int) -> None:
    await stored.vm(vmid=(await stored.record(vm_id)).vmid, labels=RACK, enabled=False)


async def window(stored: Stored, _: int) -> None:
    wish = WindowWish("firmware", RACK, "Kim: firmware", stored.now, stored.now + HOUR)
    await controls.open_window(stored.connection, KIM, wish, stored.now)


async def stopping(stored: Stored, vm_id: int) -> None:
    await stored.set(vm_id, status="stopping", last_heartbeat=stored.now - 9 * MINUTE)


async def half_installed(stored: Stored, vm_id: int) -> None:
    await stored.set(vm_id, reports=2)


async def given_up(stored: Stored, vm_id: int) -> None:
    await stored.set(
        vm_id, state="reset_failed", reset_attempts=3, last_attempt_at=stored.now - HOUR
    )


async def attempted(stored: Stored, vm_id: int) -> None:
    await stored.set(vm_id, reset_attempts=1, last_attempt_at=stored.now - MINUTE)


async def rejected(stored: Stored, vm_id: int) -> None:
    await controls.record_rejection(stored.connection, vm_id, "its key was revoked", stored.now)


async def crowd(stored: Stored, vm_id: int) -> None:
    for _ in range(3):
        await stored.down_vm()
    await stored.reporting_vm()


async def node_brake(stored: Stored, vm_id: int) -> None:
    await stored.configure(safety=SafetySpec(max_down_percent=90, max_node_down_percent=10))
    others = [await stored.down_vm() for _ in range(2)]
    for one in (vm_id, *others):
        await stored.execute("UPDATE vm SET node = 'pve1' WHERE id = :vm", vm=one)
    for _ in range(4):
        await stored.reporting_vm()


SITUATIONS = [
    nothing,
    stop,
    no_auto_reset,
    pause,
    pause_in_spec,
    not_to_be_remedied,
    window,
    stopping,
    half_installed,
    given_up,
    attempted,
    rejected,
    crowd,
    node_brake,
]


@pytest.mark.parametrize("change", SITUATIONS)
async def test_the_verdict_is_the_operators(stored: Stored, change: Change) -> None:
    vm_id = await stored.down_vm(labels=RACK)
    await change(stored, vm_id)
    await operator_sweeps(stored)

    decided = await verdict_on(stored, vm_id)
    told = await told_of(stored, vm_id)

    if isinstance(decided, Hold):
        assert (told.verdict.kind, told.verdict.reason) == (VerdictKind.HELD, decided.reason)
        assert (
            told.verdict.message.partition(" until ")[0] == decided.message.partition(" until ")[0]
        )
    else:
        assert told.verdict.kind is VerdictKind.DUE
    assert (change is nothing) == (told.verdict.kind is VerdictKind.DUE)
    assert told.warnings == []


async def test_after_a_brake_it_says_that_it_cools_down(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.execute(
        "INSERT INTO brake (kind, key, reason, message, started_at, held, ended_at)"
        " SELECT 'fleet', config_id::text, 'FleetBrake', 'x', defib_now() - interval '10 min',"
        " true, defib_now() - interval '1 min' FROM vm WHERE id = :vm",
        vm=vm_id,
    )
    await operator_sweeps(stored)

    decided = await verdict_on(stored, vm_id)
    told = await told_of(stored, vm_id)

    assert isinstance(decided, Hold)
    assert decided.reason is HoldReason.STORM_COOLDOWN
    assert (told.verdict.reason, told.verdict.message) == (decided.reason, decided.message)
    assert [one.reason for one in told.in_force] == ["StormCooldown"]


async def test_while_ingest_is_blind_it_says_so(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await operator_sweeps(stored)
    await stored.move(MINUTE)

    told = await told_of(stored, vm_id)

    assert told.verdict.reason is HoldReason.INGEST_BLIND


# floors, and why


async def end_pause(stored: Stored, vm_id: int) -> None:
    await pause(stored, vm_id)
    await stored.move(MINUTE)
    await controls.unpause(stored.connection, KIM, vm_id, stored.now)


async def let_pause_end(stored: Stored, vm_id: int) -> None:
    until = stored.now + MINUTE
    await controls.pause(stored.connection, KIM, vm_id, "x", until, stored.now)
    await stored.move(MINUTE)
    await sweep_once(stored)


async def end_pause_in_spec(stored: Stored, vm_id: int) -> None:
    await pause_in_spec(stored, vm_id)
    await stored.move(MINUTE)
    await stored.vm(vmid=(await stored.record(vm_id)).vmid, labels=RACK)


async def end_window(stored: Stored, vm_id: int) -> None:
    await window(stored, vm_id)
    await stored.move(MINUTE)
    (found,) = await controls.windows(stored.connection)
    await controls.close_window(stored.connection, KIM, found.id, stored.now)


async def end_stop(stored: Stored, vm_id: int) -> None:
    await stop(stored, vm_id)
    await stored.move(MINUTE)
    await controls.end_global_stop(stored.connection, KIM, stored.now)


async def clear(stored: Stored, vm_id: int) -> None:
    await controls.clear(stored.connection, KIM, vm_id, stored.now)


async def change_timeout(stored: Stored, _: int) -> None:
    await stored.configure(stale_timeout_ms=120_000)


async def release(stored: Stored, vm_id: int) -> None:
    await stored.execute(
        "INSERT INTO hold (vm_id, reason, message, started_at)"
        " VALUES (:vm, 'VMLocked', 'x', defib_now())",
        vm=vm_id,
    )
    await sweep.restart_clocks(stored.connection, [vm_id], stored.now)


async def gap(stored: Stored, _: int) -> None:
    await stored.execute(
        "INSERT INTO ingest_gap (started_at, ended_at, cause)"
        " VALUES (defib_now() - interval '1 min', defib_now(), 'silence')"
    )


async def end_of_shutdown(stored: Stored, vm_id: int) -> None:
    await stored.set(vm_id, status="stopping", last_heartbeat=stored.now - 10 * MINUTE)


async def unlocked(stored: Stored, vm_id: int) -> None:
    await stored.set(vm_id, clock_floor=stored.now - SECOND)


async def managed_just_now(stored: Stored, vm_id: int) -> None:
    await stored.execute("UPDATE vm SET managed_at = defib_now() WHERE id = :vm", vm=vm_id)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (end_pause, "its pause"),
        (let_pause_end, "its pause ended"),
        (end_pause_in_spec, "its pause was ended"),
        (end_window, "its maintenance window firmware ended"),
        (end_stop, "a global stop ended"),
        (clear, "it was cleared by hand"),
        (change_timeout, "its stale timeout changed"),
        (release, "what held it was over (VMLocked)"),
        (gap, "reports could be stored again, or the database's clock had jumped"),
        (end_of_shutdown, "the time for its announced shutdown was over"),
        (unlocked, STARTED_AGAIN),
        (managed_just_now, "it came under management"),
    ],
)
async def test_a_floor_says_why(stored: Stored, change: Change, why: str) -> None:
    vm_id = await stored.down_vm(labels=RACK)
    await change(stored, vm_id)
    await prove(stored)

    told = await told_of(stored, vm_id)

    assert told.verdict.kind is VerdictKind.WAITING
    assert told.clocks.counts_from_why.startswith(why)
    assert stored.now - told.clocks.counts_from <= SECOND


async def test_without_a_floor_the_heartbeat_counts(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    told = await told_of(stored, vm_id)
    assert told.clocks.counts_from_why == "its heartbeat"
    assert told.clocks.floored_silence == 2 * STALE_TIMEOUT


# who is not judged at all


async def test_a_vm_that_registered_itself_awaits_its_object(stored: Stored) -> None:
    vm_id = await stored.agent_vm()
    assert "makes one within seconds" in (await told_of(stored, vm_id)).verdict.message

    await stored.configure(auto_register=False)
    message = (await told_of(stored, vm_id)).verdict.message
    assert "autoRegister is false in defib/default" in message


async def test_a_vm_whose_object_was_deleted(stored: Stored) -> None:
    vm_id = await stored.down_vm(uid="gone")
    await mirror.tombstone(stored.connection, ["gone"], stored.now)
    told = await told_of(stored, vm_id)
    assert told.verdict.kind is VerdictKind.NOT_MANAGED
    assert "its VirtualMachine was deleted at 2026-03-01T12:00:00Z" in told.verdict.message


async def test_a_vm_whose_object_is_refused(stored: Stored) -> None:
    vm_id = await stored.down_vm(uid="bad")
    await mirror.reject_vm(stored.connection, "bad", 2, "spec.vmid: too small")
    message = (await told_of(stored, vm_id)).verdict.message
    assert message == "its VirtualMachine is not in force (InvalidSpec): spec.vmid: too small"


async def test_there_is_no_such_vm(stored: Stored) -> None:
    assert await facts_of(stored.connection, 424242, stored.now) is None


# what was decided, and what is in force


async def test_a_reset_under_way_is_told_with_who_asked(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.ask(vm_id)
    told = await told_of(stored, vm_id)
    assert told.verdict.kind is VerdictKind.UNDER_WAY
    assert told.verdict.message.startswith(f"reset_{intent_id} is under way (Reset, attempt 1")
    assert "by ann: asked for" in told.verdict.message

    assert await stored.claim(intent_id)
    assert "it is being sent" in (await told_of(stored, vm_id)).verdict.message


async def test_the_last_decisions_are_told_newest_first(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    await stored.move(STALE_TIMEOUT + SECOND)
    await operator_sweeps(stored)
    (one,) = await sweep.candidates(stored.connection, stored.now)
    await sweep.hold(stored.connection, one, "VMLocked", "it is locked (backup)", stored.now)
    await stored.move(MINUTE)
    await sweep.end_hold(stored.connection, vm_id, stored.now)
    await stored.lead()
    made = await intents.create_auto(
        stored.connection,
        intents.AutoIntent(vm_id, Action.RESET, dry_run=False, decision={"attemptsBefore": 0}),
        epoch=1,
        now=stored.now,
    )
    assert made is not None

    told = await told_of(stored, vm_id)

    kinds = [(found.kind, found.message) for found in told.decisions]
    assert [kind for kind, _ in kinds[:3]] == ["reset", "hold", "transition"] or [
        kind for kind, _ in kinds[:3]
    ] == ["reset", "transition", "hold"]
    words = dict(reversed(kinds))
    assert words["reset"] == (
        "Reset, attempt 1, by defib-operator: Auto-reset: stale VM; not sent yet"
    )
    assert words["hold"] == "not reset: VMLocked, it is locked (backup)"
    assert told.decisions[0].detail == {
        "resetId": f"reset_{made}",
        "phase": "requested",
        "decision": {"attemptsBefore": 0},
    }


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (Phase.SUCCEEDED, "carried out by Proxmox"),
        (Phase.FAILED, "failed at Proxmox"),
        (Phase.UNKNOWN, "its outcome is unknown"),
    ],
)
async def test_what_became_of_a_reset_is_told(stored: Stored, phase: Phase, words: str) -> None:
    vm_id = await stored.down_vm()
    await stored.end(await stored.send(vm_id), phase)
    told = await told_of(stored, vm_id)
    assert words in next(one.message for one in told.decisions if one.kind == "reset")


async def test_a_reset_in_flight_counts_against_the_limits(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    for _ in range(2):
        other = await stored.down_vm()
        await stored.send(other)
    told = await told_of(stored, vm_id)
    check = next(one for one in told.checks if one.reason is HoldReason.IN_FLIGHT_LIMIT)
    assert check.status is CheckResult.HOLDS
    assert check.message.startswith("2 of 2 resets under way in its fleet")


async def test_everything_in_force_is_listed_with_its_ends(stored: Stored) -> None:
    vm_id = await stored.down_vm(labels=RACK)
    coming = MaintenanceSpec(
        name="tomorrow",
        match_labels=RACK,
        starts_at=stored.now + HOUR,
        ends_at=stored.now + 2 * HOUR,
        reason="Lee: disks",
    )
    await stored.configure(dry_run=True, maintenance=(coming,))
    await pause_in_spec(stored, vm_id)
    for change in (stop, pause, window):
        await change(stored, vm_id)

    told = await told_of(stored, vm_id)

    assert [(one.reason, one.message) for one in told.in_force] == [
        ("GlobalStop", "storage (kim)"),
        ("Paused", "by kim: disk"),
        ("Paused", "in its spec: disk"),
        ("Maintenance", "firmware: Kim: firmware"),
        ("Maintenance", "tomorrow: Lee: disks"),
        ("DryRun", "resets are only recorded (defib/default)"),
    ]
    assert told.in_force[1].until == stored.now + HOUR
    assert text_of(told)


async def test_the_agents_word_that_it_stops_is_in_force(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stopping(stored, vm_id)
    told = await told_of(stored, vm_id)
    assert [(one.reason, one.message) for one in told.in_force] == [
        ("Maintenance", "it said that it is shutting down")
    ]
    assert told.in_force[0].until == stored.now + MINUTE
    assert told.verdict.reason is HoldReason.MAINTENANCE


async def test_an_operator_that_is_away_is_the_first_thing_told(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await operator_sweeps(stored)
    await stored.move(2 * MINUTE)
    told = await told_of(stored, vm_id)
    (warning,) = told.warnings
    assert warning.startswith("no operator has swept since 2026-03-01T12:00:00Z (2 m ago)")
