"""What becomes one message, and when; and what nobody is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from defib_core.domain.notices import NoticeKind, Severity
from defib_notify.configuration import QuietWindow
from defib_notify.grouping import MANY_GROUPS, TOO_OLD, group
from defib_notify.quiet import quiet_until
from defib_notify.wording import subject_of, text_of
from notify.outbox import NOW, a_delivery, a_notice, config_of, webhook

MINUTE = timedelta(minutes=1)


def test_vms_of_one_node_become_one_message_and_of_another_node_another() -> None:
    notices = [a_notice(1), a_notice(2), a_notice(3, node="pve2")]
    made = group(notices, config_of(webhook()), {}, NOW)
    assert [(one.group_key, len(one.notices)) for one in made.deliveries] == [
        ("node default/pve1", 2),
        ("node default/pve2", 1),
    ]
    assert made.settled == {1, 2, 3}


def test_many_nodes_at_once_become_one_message() -> None:
    notices = [a_notice(number, node=f"pve{number}") for number in range(1, MANY_GROUPS + 2)]
    (made,) = group(notices, config_of(webhook()), {}, NOW).deliveries
    assert len(made.notices) == MANY_GROUPS + 1


def test_a_group_waits_for_others_of_it() -> None:
    config = config_of(webhook(), groupWaitSeconds=90)
    young = group([a_notice(1)], config, {}, NOW)
    assert (young.deliveries, young.settled) == ([], frozenset())
    assert len(group([a_notice(1)], config, {}, NOW + MINUTE).deliveries) == 1


def test_a_second_message_of_a_group_waits_unless_it_is_critical() -> None:
    config = config_of(webhook(), groupIntervalSeconds=300)
    told = {"node default/pve1": NOW - MINUTE}
    assert group([a_notice(1)], config, told, NOW).deliveries == []
    assert len(group([a_notice(1)], config, told, NOW + 5 * MINUTE).deliveries) == 1
    worse = a_notice(2, NoticeKind.RESET_FAILED)
    (made,) = group([a_notice(1), worse], config, told, NOW).deliveries
    assert made.severity is Severity.CRITICAL


def test_a_vm_that_is_back_before_anybody_was_told_is_not_told() -> None:
    back = a_notice(2, NoticeKind.VM_RECOVERED, vm_id=1)
    made = group([a_notice(1), back], config_of(webhook()), {}, NOW)
    assert (made.deliveries, made.settled) == ([], {1, 2})


def test_a_vm_that_came_back_from_reset_failed_is_told_of_all() -> None:
    failed = a_notice(2, NoticeKind.RESET_FAILED, vm_id=1)
    back = a_notice(3, NoticeKind.VM_RECOVERED, vm_id=1)
    (made,) = group([a_notice(1), failed, back], config_of(webhook()), {}, NOW).deliveries
    assert [one["kind"] for one in made.notices] == ["VmDown", "ResetFailed", "VmRecovered"]


def test_of_a_group_those_that_are_back_are_left_out_and_stay_so() -> None:
    config = config_of(webhook(), groupWaitSeconds=3600)
    down = a_notice(1, vm_id=None, scope="node default/pve1", vm_ids=(11, 12, 13))
    back = a_notice(2, NoticeKind.VM_RECOVERED, vm_id=12)
    made = group([down, back], config, {}, NOW)
    assert (made.settled, made.left) == ({2}, {1: (11, 13)})
    rest = replace(down, vm_ids=(11, 13))
    both = a_notice(3, NoticeKind.VM_RECOVERED, vm_id=None, scope="x", vm_ids=(11, 13))
    made = group([rest, both], config, {}, NOW)
    assert (made.settled, made.left, made.deliveries) == ({1, 3}, {}, [])


def test_a_group_whose_last_vm_is_told_of_is_named_by_it() -> None:
    down = a_notice(1, vm_id=None, scope="node default/pve1", vm_ids=(11,), names=("web-11",))
    (made,) = group([down], config_of(webhook()), {}, NOW).deliveries
    said = subject_of(a_delivery(notices=made.notices))
    assert said == "[Defib] web-11 is down (node default/pve1)"
    assert "1 VM of node default/pve1 (web-11): " in text_of(a_delivery(notices=made.notices))


def test_each_destination_is_told_what_it_wants() -> None:
    config = config_of(
        webhook(name="all"),
        webhook(name="worst", atLeast="critical"),
        webhook(name="holds", kinds=["VmHeld"]),
    )
    notices = [a_notice(1), a_notice(2, NoticeKind.RESET_FAILED)]
    made = group(notices, config, {}, NOW).deliveries
    assert {one.destination: len(one.notices) for one in made} == {"all": 2, "worst": 1}


def test_without_a_destination_nothing_gathers() -> None:
    assert group([a_notice(1)], config_of(), {}, NOW).settled == {1}


def test_what_is_old_is_no_news() -> None:
    old = a_notice(1, created_at=NOW - TOO_OLD - MINUTE)
    made = group([old, a_notice(2)], config_of(webhook()), {}, NOW)
    assert len(made.deliveries[0].notices) == 1
    assert made.settled == {1, 2}


def test_in_a_quiet_window_all_but_the_critical_waits_for_its_end() -> None:
    quiet = [{"from": "11:00", "to": "13:30"}]
    config = config_of(
        webhook(name="day", quiet=quiet),
        webhook(name="sleeper", quiet=quiet, quietForCritical=True),
    )
    (plain,) = group([a_notice(1)], config_of(webhook(quiet=quiet)), {}, NOW).deliveries
    assert plain.next_at == datetime(2026, 11, 25, 13, 30, tzinfo=UTC)
    worse = group([a_notice(1, NoticeKind.RESET_FAILED)], config, {}, NOW).deliveries
    assert {one.destination: one.next_at for one in worse} == {
        "day": NOW,
        "sleeper": datetime(2026, 11, 25, 13, 30, tzinfo=UTC),
    }


@pytest.mark.parametrize(
    ("begins", "ends", "days", "now", "until"),
    [
        ("22:00", "07:00", ["wed"], "2026-11-25T21:59", None),
        ("22:00", "07:00", ["wed"], "2026-11-25T22:00", "2026-11-26T07:00"),
        ("22:00", "07:00", ["wed"], "2026-11-26T06:59", "2026-11-26T07:00"),
        ("22:00", "07:00", ["wed"], "2026-11-26T07:00", None),
        ("22:00", "07:00", ["wed"], "2026-11-26T22:30", None),
        ("12:00", "13:00", ["wed"], "2026-11-25T12:30", "2026-11-25T13:00"),
    ],
)
def test_a_window_may_go_over_midnight(
    begins: str, ends: str, days: list[str], now: str, until: str | None
) -> None:
    window = QuietWindow.model_validate({"from": begins, "to": ends, "days": days})
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    expected = moment if until is None else datetime.fromisoformat(until).replace(tzinfo=UTC)
    assert quiet_until([window], moment) == expected


def test_windows_are_in_their_own_time_zone_and_may_touch() -> None:
    windows = [
        QuietWindow.model_validate({"from": "20:00", "to": "00:00", "timezone": "Europe/Berlin"}),
        QuietWindow.model_validate({"from": "00:00", "to": "06:00", "timezone": "Europe/Berlin"}),
    ]
    at = datetime(2026, 11, 25, 19, 30, tzinfo=UTC)
    assert quiet_until(windows, at) == datetime(2026, 11, 26, 5, 0, tzinfo=UTC)


def test_the_subject_says_it_all_from_the_worst() -> None:
    delivery = a_delivery()
    assert subject_of(delivery) == "[Defib] web-1 is down (node default/pve1)"
    told = [{**delivery.notices[0], "kind": kind} for kind in ("VmDown", "VmDown", "ResetFailed")]
    said = subject_of(a_delivery(notices=told))
    assert said == (
        "[Defib] web-1 did not come back after its resets; 2 VMs are down (node default/pve1)"
    )
    many = a_delivery(notices=delivery.notices * 40)
    assert text_of(many).splitlines()[-1] == "... and 15 more"
