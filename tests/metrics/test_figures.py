"""The fleet's figures as the leader counts them: each VM once, each change once."""

from datetime import timedelta

from prometheus_client import generate_latest

from defib_core.domain.actions import Phase
from defib_core.domain.states import State
from defib_core.store import figures
from defib_core.store.coverage import Counts
from defib_core.store.notices import DeliveryCounts
from defib_operator.figuring import LOOK_BACK, Figuring
from defib_operator.metrics import Metrics
from support.scrape import Scrape
from support.stored import Stored

CLUSTER = "defib/default"


async def shown(stored: Stored, *, per_vm: bool = False) -> Scrape:
    metrics = Metrics()
    found = await figures.figures(stored.connection)
    vms = await figures.each_vm(stored.connection) if per_vm else ()
    metrics.fleet.show(found, vms)
    return Scrape.of(generate_latest(metrics.registry).decode())


async def test_vms_are_counted_by_cluster_and_state_and_states_without_vms_are_zero(
    stored: Stored,
) -> None:
    await stored.reporting_vm()
    await stored.reporting_vm()
    await stored.down_vm()
    found = await shown(stored)
    seen = {one.labels["state"]: one.value for one in found.found("defib_vms", cluster=CLUSTER)}
    assert seen == {
        "unknown": 0,
        "healthy": 2,
        "warning": 0,
        "down": 1,
        "reset_failed": 0,
    }


async def test_holds_are_counted_by_reason_with_the_age_of_the_oldest(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    await stored.execute(
        "INSERT INTO hold (vm_id, reason, message, started_at)"
        " VALUES (:vm, 'IOActive', 'busy', defib_now() - interval '90 min')",
        vm=vm_id,
    )
    found = await shown(stored)
    assert found.value("defib_holds", reason="IOActive") == 1
    assert found.value("defib_holds") == 1
    age = found.value("defib_hold_oldest_seconds", reason="IOActive")
    assert 5400 <= age < 5430
    assert found.value("defib_hold_oldest_seconds", reason="VMLocked") == 0


async def test_brakes_stops_and_what_waits_are_shown(stored: Stored) -> None:
    before = await shown(stored)
    assert before.value("defib_brakes") == 0
    assert before.value("defib_global_stop") == 0
    await stored.execute(
        "INSERT INTO brake (kind, key, reason, message, started_at)"
        " VALUES ('fleet', '1', 'FleetBrake', 'many', defib_now())"
    )
    await stored.execute(
        "INSERT INTO global_stop (reason, started_by, started_at) VALUES ('x', 'ann', defib_now())"
    )
    await stored.ask(await stored.down_vm())
    found = await shown(stored)
    assert found.value("defib_brakes", kind="fleet") == 1
    assert found.value("defib_global_stop") == 1
    assert found.value("defib_intents", phase="requested") == 1
    assert found.value("defib_statuses_waiting") > 0
    kinds = {sample.labels["kind"] for sample in found.found("defib_coverage")}
    assert kinds == {"agentless", "unknown_agents", "not_resettable", "inventory"}


async def test_single_vms_are_shown_only_where_that_is_asked_for(stored: Stored) -> None:
    vm_id = await stored.reporting_vm(hostname="web-0")
    plain = await shown(stored)
    assert not any("vm" in sample.labels for sample in plain.samples)
    each = await shown(stored, per_vm=True)
    who = {"vm": f"vm_{vm_id}", "cluster": CLUSTER}
    assert each.value("defib_vm_state", state=State.HEALTHY.value, **who) == 1
    assert each.value("defib_vm_ram_percent", **who) == 25
    assert each.value("defib_vm_heartbeat_age_seconds", **who) < 30


async def test_ages_grow_until_they_are_read_again() -> None:
    now = 0.0
    metrics = Metrics(lambda: now)
    nothing = figures.Figures(
        vms={},
        resets_pending=0,
        holds={},
        intents={},
        brakes={},
        global_stop=False,
        statuses_waiting=0,
        sweep_age=3.0,
        kubernetes_age=None,
        replicas=1,
        proof_age=0.5,
        partitions_ahead=100.0,
        clusters=[],
        relays=[],
        deliveries=DeliveryCounts(waiting=0, overdue=0, dead=0),
        coverage=Counts(agentless=0, unknown_agents=0, not_resettable=0, inventory=0),
    )
    metrics.fleet.show(nothing)
    now = 60.0
    found = Scrape.of(generate_latest(metrics.registry).decode())
    assert found.value("defib_sweep_age_seconds") == 63
    assert found.value("defib_partitions_ahead_seconds") == 40
    assert found.found("defib_kubernetes_age_seconds") == []
    metrics.fleet.hide()
    assert not any(
        name.startswith("defib_sweep_age")
        for name in Scrape.of(generate_latest(metrics.registry).decode()).names
    )


class Counting:
    """The part of the loop that counts, on one transaction."""

    def __init__(self, stored: Stored) -> None:
        self.metrics = Metrics()
        self.stored = stored
        self.figuring = Figuring(None, None, self.metrics)  # type: ignore[arg-type]

    async def turn(self) -> Scrape:
        await self.figuring._count(self.stored.connection)
        return Scrape.of(generate_latest(self.metrics.registry).decode())


async def test_each_change_of_state_is_counted_once(stored: Stored) -> None:
    counting = Counting(stored)
    vm_id = await stored.reporting_vm()
    assert (await counting.turn()).value("defib_transitions_total") == 0  # before it led
    await stored.report(vm_id, cpu=99.0)
    await stored.report(vm_id, cpu=1.0)
    for _ in range(3):
        found = await counting.turn()
        assert found.value("defib_transitions_total", to_state="warning") == 1
        assert found.value("defib_transitions_total", reason="ThresholdsKept") == 1


async def test_a_change_with_a_lower_number_that_is_seen_late_is_counted_too(
    stored: Stored,
) -> None:
    counting = Counting(stored)
    vm_id = await stored.reporting_vm()
    late = int(await stored.value("SELECT nextval(pg_get_serial_sequence('vm_transition', 'id'))"))
    assert (await counting.turn()).value("defib_transitions_total") == 0
    await stored.execute(
        "INSERT INTO vm_transition (id, vm_id, at, from_state, to_state, reason)"
        " VALUES (:late + 2, :vm, defib_now(), 'healthy', 'down', 'HeartbeatMissing')",
        late=late,
        vm=vm_id,
    )
    await counting.turn()
    await stored.execute(
        "INSERT INTO vm_transition (id, vm_id, at, from_state, to_state, reason)"
        " VALUES (:late + 1, :vm, defib_now(), 'healthy', 'down', 'HeartbeatMissing')",
        late=late,
        vm=vm_id,
    )
    assert (await counting.turn()).value("defib_transitions_total", to_state="down") == 2


async def test_what_was_counted_stays_counted_when_the_look_back_moves_on(
    stored: Stored,
) -> None:
    counting = Counting(stored)
    await counting.turn()
    vm_id = await stored.reporting_vm()
    tally = counting.figuring._tally
    assert tally is not None
    for _ in range(4):
        found = await counting.turn()
        assert found.value("defib_transitions_total", reason="FirstHeartbeat") == 1
        tally.flips.clock -= LOOK_BACK.total_seconds() + 1
    assert len(tally.flips.known()) <= 1
    await stored.report(vm_id, cpu=99.0)
    assert (await counting.turn()).value("defib_transitions_total", to_state="warning") == 1


async def test_a_resets_end_and_the_recovery_after_it_are_each_counted_once(
    stored: Stored,
) -> None:
    counting = Counting(stored)
    await counting.turn()
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id)
    assert (await counting.turn()).value("defib_resets_total") == 0
    await stored.end(intent_id)
    for _ in range(2):
        found = await counting.turn()
        assert found.value("defib_resets_total", outcome="succeeded", source="api") == 1
        assert found.value("defib_recovery_seconds_count") == 0
    await stored.move(timedelta(seconds=40))
    await stored.report(vm_id, boot_id="boot-2")
    for _ in range(2):
        found = await counting.turn()
        assert found.value("defib_recovery_seconds_count") == 1
        assert found.value("defib_resets_total") == 1
    assert counting.figuring._tally is not None
    assert counting.figuring._tally.followed == {}


async def test_a_recovery_that_comes_before_the_tasks_end_is_counted_once(stored: Stored) -> None:
    counting = Counting(stored)
    await counting.turn()
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id)
    await stored.move(timedelta(seconds=40))
    await stored.report(vm_id, boot_id="boot-2")
    assert (await counting.turn()).value("defib_recovery_seconds_count") == 1
    await stored.end(intent_id, Phase.SUCCEEDED)
    for _ in range(2):
        found = await counting.turn()
        assert found.value("defib_recovery_seconds_count") == 1
        assert found.value("defib_resets_total", outcome="succeeded") == 1
