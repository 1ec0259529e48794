"""Reads a scenario's file: every key, name and value is checked, and each complaint has its line.

The format is described in docs/scenarios.md.
"""

from collections.abc import Mapping
from pathlib import Path

from defib_core.config.base import InvalidSpec
from defib_core.config.system_config import SystemConfigSpec, parse_system_config
from defib_dev.simulate.parse_events import Known, parse_event
from defib_dev.simulate.parse_expectations import parse_expectations
from defib_dev.simulate.reading import NotAScenario, Value, read_yaml
from defib_dev.simulate.scenario import (
    ALL,
    ConfigChange,
    Event,
    Expectations,
    NodeState,
    ProxmoxChange,
    Scenario,
    Vm,
)
from defib_dev.simulate.specs import is_only_risky, merged

LEAST_NODES = 3
VMID_MIN = 100
NEVER = "never"


def read_scenario(path: Path) -> Scenario:
    """Read a file; raises NotAScenario."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotAScenario(1, f"cannot be read: {error}") from error
    return parse_scenario(text)


def parse_scenario(text: str) -> Scenario:
    """Read a scenario; raises NotAScenario."""
    given = read_yaml(text).fields(
        ("name", "fleet", "until"), ("about", "config", "guests", "events", "expect")
    )
    fleet = _fleet(given["fleet"], given.get("guests"))
    until = given["until"].moment()
    known = Known(
        vms=frozenset(vm.name for vm in fleet),
        until=until,
    )
    config, raw = _config(given.get("config"))
    events = _events(given.get("events"), known, raw)
    nodes = _nodes(fleet, events)
    _check_nodes(nodes, events)
    expect = given.get("expect")
    return Scenario(
        name=given["name"].text(),
        about=given["about"].text() if "about" in given else "",
        config=config,
        fleet=fleet,
        nodes=nodes,
        events=events,
        until=until,
        expect=Expectations() if expect is None else parse_expectations(expect, known),
    )


def _fleet(given: Value, guests: Value | None) -> tuple[Vm, ...]:
    fleet: dict[str, Vm] = {}
    vmids: set[int] = set()
    for entry in given.items():
        for vm in _entry(entry):
            if vm.name in fleet or vm.name == ALL:
                entry.fail(f"the name {vm.name!r} is taken")
            if vm.vmid in vmids:
                entry.fail(f"vmid {vm.vmid} is given to two VMs")
            vmids.add(vm.vmid)
            fleet[vm.name] = vm
    if not fleet:
        given.fail("a fleet needs at least one VM")
    for name, about in [] if guests is None else guests.entries():
        if name.text() not in fleet:
            name.fail(f"there is no VM {name.text()!r} in the fleet")
        fleet[name.text()] = _guest(fleet[name.text()], about)
    return tuple(fleet.values())


def _entry(entry: Value) -> list[Vm]:
    is_many = any(key.text() == "prefix" for key, _ in entry.entries())
    given = entry.fields(
        ("prefix", "count", "vmid", "node") if is_many else ("name", "vmid", "node")
    )
    vmid, node = given["vmid"].integer(VMID_MIN), given["node"].text()
    if not is_many:
        return [Vm(given["name"].text(), vmid, node)]
    prefix = given["prefix"].text()
    return [Vm(f"{prefix}{n}", vmid + n, node) for n in range(given["count"].integer(1))]


def _guest(vm: Vm, about: Value) -> Vm:
    given = about.fields((), ("boots", "thenDiesAfter"))
    boots: float | None = vm.boots
    if "boots" in given:
        boots = None if given["boots"].plain() == NEVER else given["boots"].moment()
    dies = given["thenDiesAfter"].moment() if "thenDiesAfter" in given else None
    return Vm(vm.name, vm.vmid, vm.node, boots, dies)


def _config(given: Value | None) -> tuple[SystemConfigSpec, Mapping[str, object]]:
    if given is None:
        return SystemConfigSpec(), {}
    given.entries()
    raw = given.plain()
    try:
        return parse_system_config(raw), raw
    except InvalidSpec as error:
        _refuse(given, error)
        raise


def _refuse(given: Value, error: InvalidSpec) -> None:
    """Complain at the line of the first field that is wrong."""
    at = given
    for step in error.problems[0].path.split(".")[1:]:
        pairs = {key.text(): value for key, value in at.entries()}
        if step not in pairs:
            break
        at = pairs[step]
    at.fail(f"this SystemConfig is refused: {error}")


def _events(given: Value | None, known: Known, config: Mapping[str, object]) -> tuple[Event, ...]:
    events = [
        event
        for entry in ([] if given is None else given.items())
        for event in parse_event(entry, known)
    ]
    events.sort(key=lambda event: event.at)
    for event in events:
        if isinstance(event.happening, ConfigChange):
            config = _changed(config, event.line, event.happening)
    return tuple(events)


def _changed(config: Mapping[str, object], line: int, change: ConfigChange) -> Mapping[str, object]:
    """Give the config in force after a change: one that is refused as dangerous changes nothing."""
    wanted = merged(config, change.fields)
    try:
        parse_system_config(wanted)
    except InvalidSpec as error:
        if is_only_risky(wanted):
            return config
        raise NotAScenario(line, f"this change of SystemConfig makes no sense: {error}") from error
    return wanted


def _check_nodes(nodes: tuple[str, ...], events: tuple[Event, ...]) -> None:
    """Refuse a node that goes away where no VM is, nor ever comes to."""
    for event in events:
        one = event.happening
        if isinstance(one, NodeState) and one.node not in nodes:
            raise NotAScenario(event.line, f"no VM of the fleet is on a node {one.node!r}")


def _nodes(fleet: tuple[Vm, ...], events: tuple[Event, ...]) -> tuple[str, ...]:
    """Name the cluster's nodes: those of the scenario, and enough others for a quorum."""
    moved = [
        str(event.happening.changes["node"])
        for event in events
        if isinstance(event.happening, ProxmoxChange) and "node" in event.happening.changes
    ]
    named = list(dict.fromkeys([*(vm.node for vm in fleet), *moved]))
    spare = (f"pve{n}" for n in range(1, 2 * LEAST_NODES + 1))
    while len(named) < LEAST_NODES:
        named += [name for name in [next(spare)] if name not in named]
    return tuple(named)
