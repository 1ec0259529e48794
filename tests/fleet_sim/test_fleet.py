"""Who reports what and when, without a network or a clock."""

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest

from defib_api.ingest.report import decode
from defib_dev.fleet_sim.figures import CALM_CPU, CALM_RAM, character, figures
from defib_dev.fleet_sim.fleet import Fleet, Report, Rhythm
from defib_dev.fleet_sim.guests import ControlSaysNonsense, SimulatedGuest, reporting_guests

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp()
BOOTED = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
UUID = "4c4c4544-0042-4b10-8057-b6c04f4d3432"


def guest(vmid: int = 100, **more: object) -> SimulatedGuest:
    said: dict[str, object] = {
        "vmid": vmid,
        "name": f"web-{vmid}",
        "node": "pve-node-1",
        "uuid": UUID,
        "reporting": True,
        "boot_id": f"boot-1-of-{vmid}",
        "booted_at": BOOTED,
    }
    return SimulatedGuest(**{**said, **more})  # type: ignore[arg-type]


def fleet_of(*guests: SimulatedGuest, now: float = NOON, interval: float = 30) -> Fleet:
    fleet = Fleet(Rhythm(interval))
    fleet.learn(guests, now)
    return fleet


def sent_by(fleet: Fleet, begin: float, end: float, step: float = 0.25) -> list[tuple[float, int]]:
    """Who was due when, looking every quarter of a second."""
    ticks = (begin + n * step for n in range(round((end - begin) / step) + 1))
    return [(now, vmid) for now in ticks for vmid in fleet.due(now)]


def report_of(fleet: Fleet, vmid: int, now: float = NOON) -> Report:
    report = fleet.report(vmid, now)
    assert report is not None
    return report


def test_a_guest_reports_once_an_interval() -> None:
    times = [now for now, _ in sent_by(fleet_of(guest()), NOON, NOON + 300)]
    assert len(times) == 10
    gaps = {round(b - a, 2) for a, b in pairwise(times)}
    assert gaps <= {29.75, 30.0, 30.25}


@pytest.mark.parametrize("first", [100, 1000, 5003])
def test_a_run_of_vmids_spreads_evenly_over_the_interval(first: int) -> None:
    fleet = fleet_of(*(guest(vmid) for vmid in range(first, first + 300)))
    a_second = Counter(int(now) for now, _ in sent_by(fleet, NOON, NOON + 29.75))
    assert sum(a_second.values()) == pytest.approx(300, abs=6)
    assert max(a_second.values()) <= 14
    assert min(a_second.values()) >= 6


def test_jitter_delays_and_never_drops_or_doubles_a_report() -> None:
    fleet = Fleet(Rhythm(30, jitter=5))
    fleet.learn([guest()], NOON)
    times = [now for now, _ in sent_by(fleet, NOON, NOON + 3000)]
    assert len(times) in {99, 100}
    gaps = [b - a for a, b in pairwise(times)]
    assert min(gaps) >= 24.5
    assert max(gaps) <= 35.5
    assert len(set(gaps)) > 10


def test_a_guest_that_falls_silent_sends_nothing_more_and_has_no_report() -> None:
    fleet = fleet_of(guest(100), guest(101))
    change = fleet.learn([guest(101)], NOON + 1)
    assert (change.began, change.silent) == ([], ["web-100"])
    assert {vmid for _, vmid in sent_by(fleet, NOON + 1, NOON + 100)} == {101}
    assert fleet.report(100, NOON + 2) is None


def test_a_guest_that_comes_back_reports_its_new_boot_and_keeps_its_second() -> None:
    fleet = fleet_of(guest())
    [(before, _)] = sent_by(fleet, NOON, NOON + 29.75)
    fleet.learn([], NOON + 40)
    again = guest(boot_id="boot-2", booted_at=datetime.fromtimestamp(NOON + 90, UTC))
    assert fleet.learn([again], NOON + 90).began == ["web-100"]
    [(after, _)] = sent_by(fleet, NOON + 90, NOON + 119.75)
    assert (after - before) % 30 == 0
    report = report_of(fleet, 100, after)
    assert report.boot_id == "boot-2"
    assert report.uptime == int(after - (NOON + 90))


def test_a_guest_that_blinks_between_two_looks_is_not_sent_twice() -> None:
    fleet = fleet_of(guest())
    for n in range(20):
        fleet.learn([] if n % 2 else [guest()], NOON + n * 0.1)
    fleet.learn([guest()], NOON + 2)
    assert len(sent_by(fleet, NOON + 2, NOON + 302)) == 10


def test_a_report_carries_what_the_simulator_knows() -> None:
    report = report_of(fleet_of(guest()), 100, NOON + 5.7)
    assert (report.hostname, report.vmid, report.node) == ("web-100", "100", "pve-node-1")
    assert (report.status, report.boot_id, report.smbios_uuid) == ("running", "boot-1-of-100", UUID)
    assert (report.uptime, report.timestamp) == (3605, int(NOON + 5))


def test_the_api_reads_a_report() -> None:
    assert decode(msgspec.json.encode(report_of(fleet_of(guest()), 100))).hostname == "web-100"


def test_an_agents_configured_node_and_name_survive_migration_and_renaming() -> None:
    fleet = fleet_of(guest())
    fleet.learn([guest(node="pve-node-2", name="renamed")], NOON + 1)
    report = report_of(fleet, 100)
    assert (report.node, report.hostname) == ("pve-node-1", "web-100")


def test_another_vm_under_an_old_number_has_its_own_name() -> None:
    fleet = fleet_of(guest())
    fleet.learn([guest(name="newcomer", uuid="00000000-0000-4000-8000-000000000001")], NOON + 1)
    assert report_of(fleet, 100).hostname == "newcomer"


def test_figures_are_the_same_for_the_same_seed_and_differ_between_guests() -> None:
    assert figures(character(1, 100), NOON) == figures(character(1, 100), NOON)
    assert figures(character(1, 100), NOON) != figures(character(2, 100), NOON)
    assert figures(character(1, 100), NOON) != figures(character(1, 101), NOON)


def test_figures_wander_and_stay_calm() -> None:
    for vmid in range(100, 400):
        over_a_day = [figures(character(1, vmid), NOON + n * 301) for n in range(288)]
        assert min(one.cpu for one in over_a_day) > 0
        assert max(one.cpu for one in over_a_day) <= CALM_CPU
        assert max(one.ram / one.ram_total for one in over_a_day) <= CALM_RAM + 0.01
        assert all(0 < one.disk < one.disk_total for one in over_a_day)
        assert len({one.cpu for one in over_a_day}) > 20
        assert len({one.ram for one in over_a_day}) > 5


@pytest.mark.parametrize("told", ["by the inventory", "by an option"])
def test_a_scripted_cpu_stays_where_it_was_put(told: str) -> None:
    if told == "by the inventory":
        fleet = fleet_of(guest(cpu=95))
    else:
        fleet = Fleet(Rhythm(30), {100: 95.0})
        fleet.learn([guest()], NOON)
    measured = [report_of(fleet, 100, NOON + n * 7).cpu_usage for n in range(200)]
    assert min(measured) >= 93
    assert max(measured) <= 97


def test_only_guests_that_report_and_are_simulated_are_read() -> None:
    answer = b"""{"nodes": [], "guests": [
        {"vmid": 100, "name": "a", "node": "n", "uuid": "u", "reporting": true,
         "bootId": "b", "bootedAt": "2026-11-24T11:00:00Z", "power": "running"},
        {"vmid": 101, "name": "frozen", "node": "n", "uuid": "u", "reporting": false,
         "bootId": "b", "bootedAt": "2026-11-24T11:00:00Z"},
        {"vmid": 102, "name": "a real machine", "node": "n", "uuid": "u", "reporting": true}]}"""
    [only] = reporting_guests(answer)
    assert (only.vmid, only.booted_at) == (100, BOOTED)


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b'{"guests": 1}', b'{"guests": [{"vmid": "x"}]}']
)
def test_an_answer_that_makes_no_sense_is_an_error_and_not_an_empty_fleet(answer: bytes) -> None:
    with pytest.raises(ControlSaysNonsense):
        reporting_guests(answer)


def test_ten_thousand_guests_are_planned_without_effort() -> None:
    fleet = fleet_of(*(guest(vmid) for vmid in range(100, 10_100)))
    assert len(sent_by(fleet, NOON, NOON + 60, step=1)) == pytest.approx(20_000, abs=400)
