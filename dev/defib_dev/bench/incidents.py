"""Incidents in which a wrong reset would be easy, made up from a seed, for the policy simulator.

Pure: a scenario's text and the facts that it is judged by; nothing here runs or counts.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

DIES_AT = 600
TIMEOUT = 300
"""The default: due five minutes after the last report."""
STEPS = ("intent", "sending", "sent", "stopped", "polled")
PROXMOX_TASKS = ("ok", "timeoutExecuted", "timeoutNotExecuted", "taskError")

Event = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Incident:
    """One scenario, and how many VMs it is about."""

    text: str
    vms: int


def outages(number: int, seed: int) -> Iterator[Incident]:
    """Fifty living VMs; the monitor is away for longer than their stale timeout."""
    chance = random.Random(seed)  # noqa: S311 - chance for tests, no secret
    for one in range(number):
        part = ("ingest", "database", "operator")[one % 3]
        away = chance.randint(TIMEOUT + 30, 6 * TIMEOUT)
        gone, back = ("kill", "start") if part == "operator" else ("down", "up")
        events: list[Event] = [
            {"at": _s(DIES_AT), part: gone},
            {"at": _s(DIES_AT + away), part: back},
        ]
        if chance.random() < 0.3:  # noqa: PLR2004 - a third
            events.insert(1, {"at": _s(DIES_AT + away // 2), "clockJump": "1h"})
        yield _incident(f"outage-{one}", 50, events, DIES_AT + away + 2 * TIMEOUT)


def kills(number: int, seed: int) -> Iterator[Incident]:
    """A VM dies, and the operator dies at some step of its reset, or just beside."""
    chance = random.Random(seed)  # noqa: S311 - same
    for one in range(number):
        step = STEPS[one % len(STEPS)]
        needs_a_start = step == "stopped" or one % 2 == 1
        events: list[Event] = [
            {"at": _s(300), "proxmox": {"vm": "vm-3", "reboot": 0 if needs_a_start else 1}},
            {"at": _s(400), "nextPost": chance.choice(PROXMOX_TASKS)},
            {"at": _s(400), "operator": "kill", "killAt": step},
        ]
        if chance.random() < 0.5:  # noqa: PLR2004 - half
            events.append({"at": _s(500), "operators": 2})
        died = DIES_AT + chance.randint(0, 30)
        again = died + TIMEOUT + chance.randint(20, 120)
        events += [
            {"at": _s(died), "silence": ["vm-3"]},
            {"at": _s(again), "operator": "start"},
        ]
        yield _incident(f"kill-{one}", 10, events, again + 1500)


def busy(number: int, seed: int) -> Iterator[Incident]:
    """A VM dies, and is locked, switched off or moved away while its reset comes due."""
    chance = random.Random(seed)  # noqa: S311 - same
    for one in range(number):
        died = DIES_AT + chance.randint(0, 30)
        due = died + TIMEOUT
        since = due + chance.uniform(-60, 15)
        lasts = chance.randint(20, 900)
        change, back = _busy_by(chance, one)
        events: list[Event] = [
            {"at": _s(died), "silence": ["vm-3"]},
            {"at": _s(since), "proxmox": {"vm": "vm-3", **change}},
        ]
        if back:
            events.append({"at": _s(since + lasts), "proxmox": {"vm": "vm-3", **back}})
        yield _incident(f"busy-{one}", 10, events, int(due + lasts + 1500))


def _busy_by(
    chance: random.Random, one: int
) -> tuple[Mapping[str, object], Mapping[str, object] | None]:
    match one % 3:
        case 0:
            return {"lock": chance.choice(("backup", "migrate", "snapshot"))}, {"lock": None}
        case 1:
            return {"power": "stopped"}, {"power": "running"}
        case _:
            return {"node": "pve2"}, None


def deaths(number: int, seed: int) -> Iterator[Incident]:
    """VMs that hang now and then, each by itself, and boot in some time."""
    chance = random.Random(seed)  # noqa: S311 - same
    for one in range(number):
        names = chance.sample([f"vm-{place}" for place in range(40)], 4)
        events: list[Event] = [
            {"at": _s(DIES_AT + place * 1200 + chance.randint(0, 600)), "silence": [name]}
            for place, name in enumerate(names)
        ]
        guests = {name: {"boots": _s(chance.randint(20, 120))} for name in names}
        yield _incident(f"death-{one}", 40, events, DIES_AT + 4 * 1200 + 1800, guests=guests)


def _incident(
    name: str,
    vms: int,
    events: list[Event],
    until: int,
    *,
    guests: Mapping[str, object] | None = None,
) -> Incident:
    scenario = {
        "name": name,
        "fleet": [{"prefix": "vm-", "count": vms, "vmid": 100, "node": "pve1"}],
        "guests": dict(guests or {}),
        "events": [dict(event) for event in events],
        "until": _s(until),
    }
    return Incident(yaml.safe_dump(scenario), vms)


def _s(seconds: float) -> str:
    return f"{round(seconds)}s"
