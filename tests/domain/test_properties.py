"""What must hold for every VM, every policy and every moment, not only for the rows of a table."""

import random
from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from defib_core.domain.actions import Action
from defib_core.domain.decide import Act, Case, Hold, Look, decide
from defib_core.domain.limits import Room, Wanting, allot, most_in_flight
from defib_core.domain.observation import (
    AgentAnswer,
    Brake,
    GuestFacts,
    History,
    Identity,
    IoAnswer,
    LookFailure,
    Observation,
    Surroundings,
    Treatment,
)
from defib_core.domain.policy import LifeSignal, Policy, SafetyPolicy
from defib_core.domain.reasons import HoldReason
from defib_core.domain.states import State
from support.cases import NOW, UUID

hours = st.integers(0, 48 * 3600).map(lambda seconds: timedelta(seconds=seconds))
moments = hours.map(lambda ago: NOW - ago)
maybe_moments = st.none() | moments
words = st.sampled_from(["web-01", "WEB-01.lan", "db-01"])
uuids = st.none() | st.sampled_from([UUID, UUID.upper(), "11111111-2222-3333-4444-555555555555"])

safeties = st.builds(
    SafetyPolicy,
    arm_after_reports=st.integers(1, 5),
    max_concurrent_percent=st.integers(0, 100),
    max_concurrent_per_node=st.integers(1, 4),
    max_resets_per_hour=st.integers(0, 40),
    second_life_signals=st.frozensets(st.sampled_from(LifeSignal)),
    identity_check=st.booleans(),
)
policies = st.builds(
    Policy,
    auto_reset_enabled=st.booleans(),
    dry_run=st.booleans(),
    boot_grace=st.integers(1, 3600).map(lambda seconds: timedelta(seconds=seconds)),
    safety=safeties,
)
guests = st.builds(
    GuestFacts,
    node=st.just("pve1"),
    node_online=st.sampled_from([True, False, None]),
    is_qemu=st.booleans(),
    template=st.booleans(),
    name=st.none() | words,
    smbios_uuid=uuids,
    running=st.booleans(),
    qmpstatus=st.sampled_from(
        [None, "running", "paused", "io-error", "internal-error", "prelaunch", "stopped", "new"]
    ),
    lock=st.sampled_from([None, "", "backup"]),
    ha_state=st.sampled_from([None, "ignored", "started", "migrate", "stopped"]),
    reset_switches_off=st.booleans(),
    started_at=maybe_moments,
    quorate=st.sampled_from([True, False, None]),
    agent=st.sampled_from(AgentAnswer),
    io=st.sampled_from(IoAnswer),
)
failures = st.builds(
    LookFailure,
    reason=st.sampled_from([HoldReason.PROXMOX_UNREACHABLE, HoldReason.PROXMOX_FORBIDDEN]),
    message=st.just("x"),
)
observations = st.builds(
    Observation,
    vm_id=st.just(1),
    identity=st.builds(
        Identity,
        vmid=st.just(100),
        hostname=words,
        proxmox_name=st.none() | words,
        pinned_uuid=uuids,
    ),
    state=st.sampled_from(State),
    last_heartbeat=maybe_moments,
    clock_floor=moments,
    stale_timeout=hours,
    reports=st.integers(0, 10),
    guest=st.none() | guests | failures,
)
treatments = st.builds(
    Treatment,
    policy=policies,
    max_attempts=st.integers(0, 5),
    enabled=st.booleans(),
    steps=st.lists(st.sampled_from([Action.RESET, Action.STOP_START])).map(tuple),
    paused_reason=st.none() | st.just("patching"),
    paused_until=st.none() | hours.map(lambda ahead: NOW + ahead) | moments,
)
histories = st.builds(
    History,
    attempts=st.integers(0, 6),
    last_attempt_at=maybe_moments,
    unfinished=st.booleans(),
    owes_start=st.booleans(),
    resumed_io_error=st.booleans(),
    dry_run_done=st.booleans(),
)
brakes = st.builds(Brake, reason=st.just(HoldReason.FLEET_BRAKE), message=st.just("x"))
surroundings = st.builds(
    Surroundings,
    ingest_blind_since=maybe_moments,
    control_plane_heard_at=maybe_moments,
    global_stop=st.none() | st.just("x"),
    maintenance=st.none() | st.just("x"),
    reports_rejected=st.none() | st.just("x"),
    brakes=st.lists(brakes, max_size=2).map(tuple),
)


def cases(**given: st.SearchStrategy[bool]) -> st.SearchStrategy[Case]:
    parts: dict[str, Any] = {
        "observation": observations,
        "treatment": treatments,
        "history": histories,
        "around": surroundings,
        "manual": st.booleans(),
        "forced": st.booleans(),
    }
    return st.builds(Case, **{**parts, **given})


by_itself = cases(manual=st.just(value=False))


def has_facts(case: Case) -> GuestFacts:
    assert isinstance(case.observation.guest, GuestFacts), "it acted without having looked"
    return case.observation.guest


@given(by_itself)
def test_it_never_acts_by_itself_against_what_it_knows(case: Case) -> None:
    if not isinstance(decide(case, NOW), Act):
        return
    seen, around, treated = case.observation, case.around, case.treatment
    assert around.ingest_blind_since is None
    assert around.control_plane_heard_at is not None
    assert not around.brakes
    assert around.reports_rejected is None
    assert treated.policy.auto_reset_enabled
    assert treated.enabled
    assert not treated.is_paused(NOW)
    assert seen.state is State.DOWN
    assert seen.floored_silence(NOW) > seen.stale_timeout
    assert not case.history.unfinished
    assert case.history.attempts < treated.max_attempts


@given(cases())
def test_it_never_acts_on_a_guest_that_proxmox_does_not_vouch_for(case: Case) -> None:
    verdict = decide(case, NOW)
    if not isinstance(verdict, Act):
        return
    guest = has_facts(case)
    assert guest.node_online is True
    assert guest.is_qemu
    assert not guest.template
    assert not guest.lock
    assert guest.running or case.history.owes_start
    assert guest.running or verdict.action is Action.STOP_START
    if verdict.action is Action.STOP_START:
        assert guest.quorate is True
        assert guest.ha_state in (None, "ignored")


@given(cases())
def test_a_global_stop_lets_nobody_act(case: Case) -> None:
    verdict = decide(case, NOW)
    if case.around.global_stop is not None:
        assert not isinstance(verdict, Act | Look)


@given(by_itself, hours)
def test_waiting_never_frees_a_vm_that_is_paused(case: Case, wait: timedelta) -> None:
    held = decide(case, NOW)
    if not isinstance(held, Hold) or held.reason is not HoldReason.PAUSED:
        return
    end = case.treatment.paused_until
    later = NOW + wait
    verdict = decide(case, later)
    assert isinstance(verdict, Hold)
    assert (verdict.reason is HoldReason.PAUSED) == (end is None or later < end)


@given(by_itself, hours)
def test_waiting_never_makes_a_candidate_less_of_one(case: Case, wait: timedelta) -> None:
    before = decide(case, NOW)
    if isinstance(before, Hold | Look):
        after = decide(case, NOW + wait)
        assert (
            isinstance(after, Hold | Look | Act)
            or has_facts(case).started_at is not None
            or (case.history.dry_run_done)
        )


@given(cases())
def test_the_same_facts_give_the_same_verdict(case: Case) -> None:
    assert decide(case, NOW) == decide(case, NOW)


wantings = st.lists(
    st.builds(
        Wanting,
        vm_id=st.integers(1, 500),
        fleet=st.integers(1, 3),
        node=st.tuples(st.integers(1, 2), st.sampled_from(["pve1", "pve2", None])),
        attempts=st.integers(0, 3),
        silence=hours,
    ),
    max_size=40,
    unique_by=lambda one: one.vm_id,
)
counts = st.dictionaries(st.integers(1, 3), st.integers(0, 35))
rooms = st.builds(
    Room,
    in_flight=counts,
    in_flight_on_node=st.dictionaries(
        st.tuples(st.integers(1, 2), st.sampled_from(["pve1", "pve2", None])), st.integers(0, 5)
    ),
    sent_last_hour=counts,
    fleet_sizes=st.dictionaries(st.integers(1, 3), st.integers(0, 500)),
)
rules = st.fixed_dictionaries({1: policies, 2: policies, 3: policies})


@given(wantings, rooms, rules, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(
    wanted: list[Wanting], room: Room, policies: dict[int, Policy], chance: random.Random
) -> None:
    shuffled = list(wanted)
    chance.shuffle(shuffled)
    assert allot(shuffled, room, policies) == allot(wanted, room, policies)


@given(wantings, rooms, rules)
@settings(max_examples=200)
def test_there_are_never_more_places_than_the_limits(
    wanted: list[Wanting], room: Room, policies: dict[int, Policy]
) -> None:
    answers = allot(wanted, room, policies)
    assert answers.keys() == {one.vm_id for one in wanted}
    placed = [one for one in wanted if answers[one.vm_id] is None]
    for fleet, new in Counter(one.fleet for one in placed).items():
        size = room.fleet_sizes.get(fleet, 0)
        assert room.in_flight.get(fleet, 0) + new <= most_in_flight(policies[fleet], size)
        hourly = policies[fleet].safety.max_resets_per_hour
        assert room.sent_last_hour.get(fleet, 0) + new <= hourly
    for node, new in Counter(one.node for one in placed).items():
        limit = max(policies[one.fleet].safety.max_concurrent_per_node for one in placed)
        assert room.in_flight_on_node.get(node, 0) + new <= limit


@given(wantings, rooms, rules)
def test_nobody_is_passed_over_for_one_who_waited_less(
    wanted: list[Wanting], room: Room, policies: dict[int, Policy]
) -> None:
    answers = allot(wanted, room, policies)
    for one in wanted:
        for other in wanted:
            same = (one.fleet, one.node, one.attempts) == (other.fleet, other.node, other.attempts)
            if same and one.silence > other.silence and answers[other.vm_id] is None:
                assert answers[one.vm_id] is None
