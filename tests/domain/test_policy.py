"""Defaults, the wait between attempts, and how many resets may be under way."""

from datetime import timedelta

import pytest

from defib_core.domain.limits import most_in_flight
from defib_core.domain.policy import Policy, SafetyPolicy

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [(-1, 0), (0, 0), (1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (6, 60), (1000, 60)],
)
def test_the_wait_doubles_up_to_an_hour(attempts: int, wait: int) -> None:
    assert Policy().back_off(attempts) == wait * MINUTE


def test_a_grace_of_an_hour_does_not_double() -> None:
    slow = Policy(boot_grace=timedelta(hours=1))
    assert [slow.back_off(attempts) for attempts in (1, 2, 3)] == [timedelta(hours=1)] * 3


@pytest.mark.parametrize(
    ("fleet", "places"), [(0, 2), (1, 2), (40, 2), (59, 2), (60, 3), (100, 5), (1000, 50)]
)
def test_five_percent_of_a_fleet_may_be_under_way_but_always_two(fleet: int, places: int) -> None:
    assert most_in_flight(Policy(), fleet) == places


def test_no_percent_still_leaves_two_places() -> None:
    assert most_in_flight(Policy(safety=SafetyPolicy(max_concurrent_percent=0)), 1000) == 2


def test_defaults_are_the_published_ones() -> None:
    policy, safety = Policy(), SafetyPolicy()
    assert policy.stale_timeout == timedelta(milliseconds=300_000)
    assert (policy.cpu_threshold, policy.ram_threshold) == (80, 90)
    assert (policy.auto_reset_enabled, policy.dry_run) == (True, False)
    assert policy.stale_check_interval == timedelta(seconds=10)
    assert policy.report_interval == timedelta(seconds=30)
    assert policy.max_reset_attempts == 3
    assert policy.boot_grace == timedelta(seconds=300)
    assert policy.attempts_clear_after == timedelta(seconds=3600)
    assert safety.arm_after_reports == 3
    assert (safety.max_down_percent, safety.max_node_down_percent) == (20, 50)
    assert safety.min_down_allowed == 2
    assert safety.failure_domain_label is None
    assert (safety.max_concurrent_percent, safety.max_concurrent_per_node) == (5, 2)
    assert safety.max_resets_per_hour == 30
    assert safety.storm_cooldown == timedelta(seconds=300)
    assert sorted(safety.second_life_signals) == ["guestAgent", "io"]
    assert safety.identity_check
    assert safety.blind_after == timedelta(seconds=15)
    assert safety.control_plane_stale == timedelta(seconds=120)
    assert safety.io_window == timedelta(seconds=30)
