"""Who of those that may be reset gets a place, and why the others do not."""

from datetime import timedelta

import pytest

from defib_core.domain.limits import Room, Wanting, allot
from defib_core.domain.policy import Policy, SafetyPolicy
from defib_core.domain.reasons import HoldReason

EMPTY = Room({}, {}, {}, {1: 10, 2: 10})
POLICIES = {1: Policy(), 2: Policy()}


def wanting(
    vm_id: int, *, fleet: int = 1, node: str | None = None, attempts: int = 0, silent: int = 600
) -> Wanting:
    return Wanting(vm_id, fleet, (1, node or f"pve{vm_id}"), attempts, timedelta(seconds=silent))


def given_a_place(
    wanted: list[Wanting], room: Room = EMPTY, policies: dict[int, Policy] = POLICIES
) -> set[int]:
    return {vm_id for vm_id, hold in allot(wanted, room, policies).items() if hold is None}


def test_nobody_wants_anything() -> None:
    assert allot([], EMPTY, POLICIES) == {}


def test_a_small_fleet_has_two_places() -> None:
    answers = allot([wanting(1), wanting(2), wanting(3)], EMPTY, POLICIES)
    assert [answers[vm] for vm in (1, 2)] == [None, None]
    assert answers[3] is not None
    assert answers[3].reason is HoldReason.IN_FLIGHT_LIMIT
    assert answers[3].message == "2 resets of its fleet are under way"


def test_the_fewest_attempts_go_first() -> None:
    wanted = [wanting(1, attempts=2), wanting(2, attempts=1), wanting(3, attempts=0)]
    assert given_a_place(wanted) == {2, 3}


def test_then_the_longest_silence() -> None:
    wanted = [wanting(1, silent=400), wanting(2, silent=500), wanting(3, silent=600)]
    assert given_a_place(wanted) == {2, 3}


def test_then_the_oldest_vm() -> None:
    assert given_a_place([wanting(3), wanting(2), wanting(1)]) == {1, 2}


def test_resets_under_way_take_places() -> None:
    room = Room({1: 1}, {}, {}, {1: 10})
    assert given_a_place([wanting(1), wanting(2)], room) == {1}


def test_each_fleet_has_its_own_places() -> None:
    wanted = [wanting(vm, fleet=1 + vm % 2) for vm in range(1, 7)]
    assert given_a_place(wanted) == {1, 2, 3, 4}


def test_a_node_has_two_places_over_all_fleets() -> None:
    wanted = [wanting(vm, fleet=1 + vm % 2, node="pve1") for vm in range(1, 5)]
    answers = allot(wanted, EMPTY, POLICIES)
    assert [answers[vm] is None for vm in (1, 2, 3, 4)] == [True, True, False, False]
    assert answers[3] is not None
    assert answers[3].message == "2 resets on pve1 are under way"


def test_two_clusters_may_each_have_a_node_of_one_name() -> None:
    room = Room({}, {(2, "pve1"): 2}, {}, {1: 10})
    assert given_a_place([wanting(1, node="pve1")], room) == {1}


def test_a_full_node_does_not_use_up_the_fleets_places() -> None:
    room = Room({}, {(1, "full"): 2}, {}, {1: 10})
    wanted = [wanting(1, node="full"), wanting(2, node="full"), wanting(3), wanting(4)]
    assert given_a_place(wanted, room) == {3, 4}


@pytest.mark.parametrize(("sent", "places"), [(28, 2), (29, 1), (30, 0), (31, 0)])
def test_an_hour_has_thirty_places(sent: int, places: int) -> None:
    room = Room({}, {}, {1: sent}, {1: 1000})
    answers = allot([wanting(1), wanting(2)], room, POLICIES)
    assert [hold is None for hold in answers.values()].count(True) == places
    for hold in answers.values():
        assert hold is None or hold.reason is HoldReason.HOURLY_LIMIT


def test_an_hour_without_places_holds_everybody() -> None:
    none = {1: Policy(safety=SafetyPolicy(max_resets_per_hour=0))}
    assert given_a_place([wanting(1)], EMPTY, none) == set()


def test_a_fleet_of_unknown_size_has_two_places() -> None:
    room = Room({}, {}, {}, {})
    assert len(given_a_place([wanting(vm) for vm in range(1, 9)], room)) == 2
