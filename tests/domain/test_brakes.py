"""Brakes: who counts, how many are allowed, and what holds whom."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defib_core.domain.brakes import (
    Scope,
    ScopeKind,
    Silent,
    allowed_down,
    brakes_in_force,
    brakes_on,
    largest_crowd,
    suspect_after,
)
from defib_core.domain.policy import Policy, SafetyPolicy
from defib_core.domain.reasons import HoldReason

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FLEET = Scope(ScopeKind.FLEET, "1")
NODE = Scope(ScopeKind.NODE, "7/pve1")
DOMAIN = Scope(ScopeKind.DOMAIN, "1/rack-a")


def silent(count: int, *scopes: Scope, apart: timedelta = timedelta(0)) -> list[Silent]:
    return [
        Silent(
            vm_id=number, fleet=1, scopes=scopes or (FLEET,), last_heartbeat=NOON + number * apart
        )
        for number in range(count)
    ]


def reasons(
    count: int, members: int, scope: Scope = FLEET, policy: Policy | None = None
) -> list[str]:
    found = brakes_in_force(silent(count, scope), {scope: members}, {1: policy or Policy()})
    return [verdict.reason.value for verdict in found.get((1, scope), [])]


@pytest.mark.parametrize(
    ("stale_seconds", "report_seconds", "expected_seconds"),
    [
        (300, 30, 90),  # half of it is 150: at most three intervals
        (120, 30, 60),  # half of it
        (60, 30, 45),  # at least one and a half intervals
    ],
)
def test_a_vm_is_suspect_after_half_the_smallest_timeout_within_bounds(
    stale_seconds: int, report_seconds: int, expected_seconds: int
) -> None:
    policy = Policy(report_interval=timedelta(seconds=report_seconds))

    found = suspect_after(policy, timedelta(seconds=stale_seconds))

    assert found == timedelta(seconds=expected_seconds)


@pytest.mark.parametrize(
    ("apart_minutes", "count", "crowd"),
    [(0, 5, 5), (30, 2, 2), (31, 2, 1), (10, 7, 4), (40, 6, 1)],
)
def test_a_crowd_is_the_most_that_fell_silent_within_half_an_hour(
    apart_minutes: int, count: int, crowd: int
) -> None:
    times = [NOON + timedelta(minutes=apart_minutes * number) for number in range(count)]

    assert largest_crowd(reversed(times)) == crowd


@pytest.mark.parametrize(
    ("members", "kind", "allowed"),
    [
        (1, ScopeKind.FLEET, 2),
        (10, ScopeKind.FLEET, 2),
        (14, ScopeKind.FLEET, 2),
        (15, ScopeKind.FLEET, 3),
        (200, ScopeKind.FLEET, 40),
        (40, ScopeKind.NODE, 20),
        (41, ScopeKind.NODE, 20),
        (3, ScopeKind.NODE, 2),
    ],
)
def test_percentages_round_down_and_two_are_always_allowed(
    members: int, kind: ScopeKind, allowed: int
) -> None:
    assert allowed_down(Policy(), kind, members) == allowed


@pytest.mark.parametrize(
    ("count", "members", "expected"),
    [
        (1, 1, []),
        (2, 3, []),
        (3, 3, ["FleetBrake"]),
        (2, 4, []),
        (3, 4, ["PathFailure", "FleetBrake"]),
        (2, 10, []),
        (3, 10, ["FleetBrake"]),
        (40, 200, []),
        (41, 200, ["FleetBrake"]),
        (100, 200, ["FleetBrake"]),
        (101, 200, ["PathFailure", "FleetBrake"]),
    ],
)
def test_the_fleets_brakes_hold_strictly_above_their_limits(
    count: int, members: int, expected: list[str]
) -> None:
    assert reasons(count, members) == expected


def test_a_node_has_its_own_brake_and_no_path_failure() -> None:
    assert reasons(20, 40, NODE) == []
    assert reasons(21, 40, NODE) == ["NodeBrake"]
    assert reasons(40, 40, NODE) == ["NodeBrake"]


def test_a_failure_domain_has_the_fleets_rule() -> None:
    assert reasons(3, 10, DOMAIN) == ["FleetBrake"]


def test_old_single_losses_are_no_crowd() -> None:
    lost = silent(8, apart=timedelta(hours=1))

    assert brakes_in_force(lost, {FLEET: 20}, {1: Policy()}) == {}


def test_each_fleet_judges_a_shared_node_by_its_own_policy() -> None:
    strict = Policy(safety=SafetyPolicy(max_node_down_percent=10))
    lenient = Policy(safety=SafetyPolicy(max_node_down_percent=90))
    lost = [Silent(number, fleet, (NODE,), NOON) for number, fleet in enumerate([1, 1, 1, 2, 2])]

    found = brakes_in_force(lost, {NODE: 10}, {1: strict, 2: lenient})

    assert set(found) == {(1, NODE)}


def test_the_first_reason_is_path_failure_and_the_last_the_cooldown() -> None:
    in_force = brakes_in_force(silent(101, FLEET, NODE), {FLEET: 200, NODE: 110}, {1: Policy()})
    cooling = {(1, DOMAIN): NOON + timedelta(minutes=5)}

    held = brakes_on(1, (FLEET, NODE, DOMAIN), in_force, cooling)

    assert [one.reason for one in held] == [
        HoldReason.PATH_FAILURE,
        HoldReason.FLEET_BRAKE,
        HoldReason.NODE_BRAKE,
        HoldReason.STORM_COOLDOWN,
    ]


def test_a_brake_on_another_node_holds_nobody_here() -> None:
    other = Scope(ScopeKind.NODE, "7/pve2")
    in_force = brakes_in_force(silent(30, other), {other: 40}, {1: Policy()})

    assert brakes_on(1, (FLEET, NODE), in_force, {}) == ()


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
def test_more_silent_vms_never_release_a_brake(fewer: int, more: int, members: int) -> None:
    low, high = sorted((min(fewer, members), min(more, members)))

    assert set(reasons(low, members)) <= set(reasons(high, members))


@given(st.lists(st.integers(0, 600), max_size=40))
def test_the_order_of_heartbeats_changes_no_crowd(minutes: list[int]) -> None:
    times = [NOON + timedelta(minutes=one) for one in minutes]
    shuffled = sorted(times, key=lambda one: (one.minute, one))

    assert largest_crowd(times) == largest_crowd(shuffled)
