"""A file that is no scenario is refused with the line and the reason."""

import pytest

from defib_core.domain.actions import Action
from defib_dev.simulate.parse import parse_scenario
from defib_dev.simulate.reading import NotAScenario
from defib_dev.simulate.scenario import ConfigChange, Event, Scenario

GOOD = """\
name: good
about: It can be read.
config: {staleTimeoutMs: 300000}
fleet:
  - {name: web-01, vmid: 100, node: pve1}
  - {prefix: db-, count: 10, vmid: 200, node: pve2}
guests:
  web-01: {boots: 60s}
  db-3: {boots: never}
  db-4: {boots: 60s, thenDiesAfter: 90s}
events:
  - {at: 10m, silence: [web-01]}
  - {at: 10m, agentDies: [db-0]}
  - {at: 20m, resume: [db-0]}
  - {at: 5m, metrics: {vm: web-01, cpu: 95, ram: 50}}
  - {at: 5m, reject: [db-0]}
  - {at: 6m, accept: [db-0]}
  - {at: 5m, globalStop: true}
  - {at: 6m, globalStop: false}
  - {at: 5m, ingest: down}
  - {at: 6m, ingest: up}
  - {at: 5m, database: down}
  - {at: 6m, database: up}
  - {at: 5m, kubernetes: down}
  - {at: 6m, kubernetes: up}
  - {at: 5m, operator: kill}
  - {at: 5m, operator: start}
  - {at: 5m, operator: kill, killAt: stopped}
  - {at: 5m, operators: 2}
  - {at: 5m, node: pve1, state: offline}
  - {at: 6m, node: pve1, state: online}
  - {at: 5m, proxmoxApi: noQuorum}
  - {at: 6m, proxmoxApi: ok}
  - {at: 5m, nextPost: timeoutExecuted}
  - {at: 5m, proxmox: {vm: web-01, power: stopped, lock: null, node: pve3, reboot: 0}}
  - {at: 6m, proxmox: {vm: db-1, reusedBy: other, template: true, ha: error}}
  - {at: 6m, proxmox: {vm: db-2, rename: other, exists: false, lock: backup, ha: null}}
  - {at: 5m, config: {staleTimeoutMs: 60000}}
  - {at: 5m, pause: web-01, minutes: 30, reason: patching}
  - {at: 6m, unpause: web-01}
  - {at: 5m, manualReset: web-01, reason: asked, force: false}
  - {at: 5m, clear: web-01}
  - {at: 5m, clockJump: 1h}
until: 2h
expect:
  resets:
    - {vm: web-01, at: 14m30s..15m30s, outcome: succeeded, recovered: true}
    - {vm: web-01, at: ">=1h", action: StopStart}
  maxResets: 3
  maxInFlight: 2
  health:
    - {vm: web-01, at: 9m, is: healthy}
  attempts: [{vm: web-01, at: 2h, is: 0}]
  holds:
    - {vm: web-01, reason: VMLocked, at: 15m..20m}
    - {vm: all, reason: NodeBrake}
  noHolds: [FleetBrake]
  manual: [{vm: web-01, at: 5m, accepted: false, reason: AttemptsExhausted}]
"""

HEAD = "name: n\nfleet: [{name: a, vmid: 100, node: pve1}]\nuntil: 10m\n"


def good() -> Scenario:
    return parse_scenario(GOOD)


def test_everything_the_format_has_is_read() -> None:
    scenario = good()
    assert len(scenario.fleet) == 11
    assert scenario.until == 7200
    assert scenario.vm("db-9").vmid == 209
    assert scenario.vm("db-3").boots is None
    assert scenario.vm("db-4").dies_after == 90
    assert len({type(event.happening) for event in scenario.events}) == 20
    expected = scenario.expect.resets
    assert expected is not None
    assert [one.action for one in expected] == [Action.RESET, Action.STOP_START]


def test_events_happen_in_the_order_of_time_and_then_of_the_file() -> None:
    moments = [event.at for event in good().events]
    assert moments == sorted(moments)
    killed, started = [e.line for e in good().events if "Operator" in type(e.happening).__name__][
        :2
    ]
    assert killed < started


def test_nodes_are_those_of_the_fleet_and_of_moves_and_enough_for_a_quorum() -> None:
    assert good().nodes == ("pve1", "pve2", "pve3")
    one = parse_scenario("name: n\nfleet: [{name: a, vmid: 100, node: east}]\nuntil: 1m")
    assert one.nodes == ("east", "pve1", "pve2")


def test_only_name_fleet_and_until_are_needed() -> None:
    scenario = parse_scenario("name: n\nfleet: [{name: a, vmid: 100, node: pve1}]\nuntil: 1m")
    assert scenario.events == ()
    assert scenario.expect.resets is None


def test_all_may_stand_for_every_vm() -> None:
    text = HEAD + "events: [{at: 0, silence: all}]"
    assert parse_scenario(text).vms(["all"]) == list(parse_scenario(text).fleet)


BAD = {
    "not YAML": ("name: [", 1, "not YAML"),
    "empty": ("", 1, "empty"),
    "a list": ("- a", 1, "expected keys and values"),
    "no fleet": ("name: n\nuntil: 1m", 1, "missing: fleet"),
    "an empty fleet": ("name: n\nfleet: []\nuntil: 1m", 2, "at least one VM"),
    "an unknown key": (HEAD + "expects: {}", 4, "unknown key 'expects'; known here: name"),
    "a key twice": (HEAD + "until: 5m", 4, "given twice"),
    "a VM without node": ("name: n\nfleet: [{name: a, vmid: 1}]\nuntil: 1m", 2, "missing: node"),
    "a VM's name twice": (
        (
            "name: n\nfleet:\n  - {name: a-0, vmid: 100, node: p}\n"
            "  - {prefix: a-, count: 2, vmid: 200, node: p}\nuntil: 1m"
        ),
        4,
        "the name 'a-0' is taken",
    ),
    "a vmid twice": (
        (
            "name: n\nfleet:\n  - {prefix: a-, count: 5, vmid: 100, node: p}\n"
            "  - {name: b, vmid: 104, node: p}\nuntil: 1m"
        ),
        4,
        "vmid 104",
    ),
    "a vmid below 100": (
        "name: n\nfleet: [{name: a, vmid: 99, node: p}]\nuntil: 1m",
        2,
        "from 100",
    ),
    "no time": (
        "name: n\nfleet: [{name: a, vmid: 100, node: p}]\nuntil: soon",
        3,
        "'soon' is no time",
    ),
    "a number as a time": (
        "name: n\nfleet: [{name: a, vmid: 100, node: p}]\nuntil: 90",
        3,
        "is no time",
    ),
    "a guest nobody knows": (HEAD + "guests:\n  b: {boots: never}", 5, "no VM 'b'"),
    "a config's typo": (
        HEAD + "config:\n  safety:\n    maxDownPercnt: 10",
        6,
        "spec.safety.maxDownPercnt: is not a field",
    ),
    "a dangerous config": (HEAD + "config:\n  staleTimeoutMs: 1000", 5, "acknowledgeRisk"),
    "an event without a kind": (HEAD + "events:\n  - {at: 5m}", 5, "nothing happens here"),
    "an event without a time": (HEAD + "events:\n  - {silence: [a]}", 5, "missing: at"),
    "an unknown event": (HEAD + "events:\n  - {at: 5m, explode: [a]}", 5, "unknown key 'explode'"),
    "an event after the end": (
        HEAD + "events:\n  - {at: 11m, silence: [a]}",
        5,
        "after the scenario",
    ),
    "a VM nobody knows": (HEAD + "events:\n  - {at: 5m, silence: [b]}", 5, "no VM 'b'"),
    "a key of another event": (
        HEAD + "events:\n  - {at: 5m, silence: [a], killAt: sent}",
        5,
        "'killAt' does not belong to silence",
    ),
    "a step nobody knows": (
        HEAD + "events:\n  - {at: 5m, operator: kill, killAt: later}",
        5,
        "expected one of intent, sending",
    ),
    "a start that kills": (
        HEAD + "events:\n  - {at: 5m, operator: start, killAt: sent}",
        5,
        "belongs to 'operator: kill'",
    ),
    "a node without VMs": (
        HEAD + "events:\n  - {at: 5m, node: pve9, state: offline}",
        5,
        "on a node 'pve9'",
    ),
    "a node without a state": (HEAD + "events:\n  - {at: 5m, node: pve1}", 5, "missing: state"),
    "a change of nothing": (HEAD + "events:\n  - {at: 5m, proxmox: {vm: a}}", 5, "nothing changes"),
    "a lock nobody knows": (
        HEAD + "events:\n  - {at: 5m, proxmox: {vm: a, lock: padlock}}",
        5,
        "expected one of backup, migrate, snapshot",
    ),
    "a config change with a typo": (
        HEAD + "events:\n  - {at: 5m, config: {staleTimeout: 5}}",
        5,
        "spec.staleTimeout: is not a field",
    ),
    "a window that ends before it begins": (
        HEAD + "expect:\n  resets: [{vm: a, at: 9m..5m}]",
        5,
        "ends before it begins",
    ),
    "a state nobody knows": (
        HEAD + "expect:\n  health: [{vm: a, at: 5m, is: dead}]",
        5,
        "expected one of unknown, healthy",
    ),
    "a reason nobody knows": (
        HEAD + "expect:\n  holds: [{vm: a, reason: FleetBreak}]",
        5,
        "expected one of GlobalStop",
    ),
    "an expectation after the end": (
        HEAD + "expect:\n  health: [{vm: a, at: 11m, is: down}]",
        5,
        "after the scenario",
    ),
    "an outcome nobody knows": (
        HEAD + "expect:\n  resets: [{vm: a, at: 5m, outcome: fine}]",
        5,
        "expected one of succeeded, failed, unknown, dry_run",
    ),
    "a truth as text": (HEAD + "events:\n  - {at: 5m, globalStop: 'yes'}", 5, "true or false"),
    "a truth as a number": (HEAD + "events:\n  - {at: 5m, operators: true}", 5, "a whole number"),
}


@pytest.mark.parametrize(("text", "line", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_refused_with_line_and_reason(text: str, line: int, reason: str) -> None:
    with pytest.raises(NotAScenario) as refusal:
        parse_scenario(text)
    assert reason in refusal.value.reason
    assert refusal.value.line == line


def test_a_change_that_is_only_dangerous_may_arrive() -> None:
    scenario = parse_scenario(HEAD + "events:\n  - {at: 5m, config: {staleTimeoutMs: 1000}}")
    assert scenario.events == (Event(300, 5, ConfigChange({"staleTimeoutMs": 1000})),)


def test_a_node_that_a_vm_moves_to_may_go_away() -> None:
    scenario = parse_scenario(
        HEAD + "events:\n  - {at: 2m, proxmox: {vm: a, node: east}}\n"
        "  - {at: 5m, node: east, state: offline}\n  - {at: 6m, node: pve2, state: offline}"
    )
    assert {"east", "pve2"} <= set(scenario.nodes)
