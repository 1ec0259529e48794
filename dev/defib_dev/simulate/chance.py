"""Random scenarios: incidents nobody would think of, the same for the same seed.

Each is a file like any other, without expectations: what must hold of all of them is in
`invariants`. Most begin with a guest or two that hang in a fleet that is well, so that something is
reset; then trouble comes, and at last everything that stands around Defib is well again for long
enough that every silent VM has to be reset, held or given up. Times are short and most fleets
small, so that thousands can be played.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import yaml

from defib_dev.simulate.moments import MINUTE, format_moment
from defib_dev.simulate.parse_events import CHECKPOINTS, FAULTS
from defib_dev.simulate.virtual_time import START

FIRST_EVENT = 95.0
"""By then every VM has sent the reports that arm it."""
TAIL = 3.5 * MINUTE
SELDOM, EVEN, OFTEN = 0.2, 0.5, 0.8
SIZES = (2, 3, 5, 5, 6, 8, 10)
LARGE = (40, 120)
HOW_MANY_LARGE = 0.03
PAUSES = (2, 5, 15, 30, 60, 90)
Raw = dict[str, Any]


def scenario_text(seed: int) -> str:
    """Write the scenario of a seed."""
    dice = random.Random(seed)  # noqa: S311 - no secret, and the same every time
    return yaml.safe_dump(_Story(dice).tell(seed), sort_keys=False, width=200)


@dataclass(slots=True)
class _Story:
    """A story in the making: what may still happen depends on what has."""

    dice: random.Random
    vms: list[str] = field(default_factory=list)
    fleet: list[Raw] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    """VMs that were destroyed, or whose id belongs to another: nothing more happens to them."""
    offline: set[str] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)
    is_stopped: bool = False
    events: list[Raw] = field(default_factory=list)
    now: float = FIRST_EVENT

    def tell(self, seed: int) -> Raw:
        """Make it up."""
        self._people_the_fleet()
        if self._happens(OFTEN):
            self._say(silence=self.dice.sample(self.vms, self.dice.choice((1, 1, 2))))
        for _ in range(self.dice.choice((1, 1, 2, 2, 3, 4, 6, 9))):
            self.now += self.dice.choice(PAUSES) * self.dice.random()
            self._something()
        self._all_is_well()
        return {
            "name": f"chance-{seed}",
            "about": "Nobody thought of this one.",
            "config": self._config(),
            "fleet": self.fleet,
            "guests": {name: self._guest() for name in self.vms[:8] if self._happens(SELDOM)},
            "events": self.events,
            "until": format_moment(round(self.now + TAIL)),
        }

    def _people_the_fleet(self) -> None:
        vmid = 100
        is_large = self._happens(HOW_MANY_LARGE)
        for node in ("pve1", "pve2", "pve3")[: self.dice.choice((1, 1, 2, 3))]:
            count = self.dice.choice(LARGE if is_large else SIZES)
            prefix = f"{node[-1]}-"
            self.fleet.append({"prefix": prefix, "count": count, "vmid": vmid, "node": node})
            self.vms += [f"{prefix}{n}" for n in range(count)]
            self.nodes.append(node)
            vmid += count

    def _config(self) -> Raw:
        safety = {
            "minDownAllowed": (0, 1, 2, 3, 5),
            "maxDownPercent": (10, 50, 90),
            "maxNodeDownPercent": (50, 90),
            "armAfterReports": (1, 2),
            "maxConcurrentPerNode": (1, 2, 3),
            "maxConcurrentPercent": (5, 30),
            "maxResetsPerHour": (1, 2, 5),
        }
        own = {
            "maxResetAttempts": (0, 1, 2, 3, 5),
            "attemptsClearAfterSeconds": (60, 120, 600),
            "dryRun": (True, False, False),
            "autoResetEnabled": (False, True, True),
        }
        timing = {
            "staleTimeoutMs": self.dice.choice((60_000, 60_000, 90_000)),
            "bootGraceSeconds": self.dice.choice((30, 60, 60, 90)),
            "staleCheckIntervalSeconds": self.dice.choice((15, 30, 30)),
        }
        always = {
            "ioWindowSeconds": self.dice.choice((10, 20)),
            "stormCooldownSeconds": self.dice.choice((0, 20, 60)),
            "secondLifeSignals": self.dice.choice(
                (["guestAgent", "io"], ["guestAgent", "io"], ["io"], ["guestAgent"], [])
            ),
        }
        return {**timing, **self._some(own), "safety": {**always, **self._some(safety)}}

    def _some(self, choices: dict[str, tuple[Any, ...]]) -> Raw:
        return {
            name: self.dice.choice(values)
            for name, values in choices.items()
            if self._happens(SELDOM)
        }

    def _happens(self, how_often: float) -> bool:
        return self.dice.random() < how_often

    def _guest(self) -> Raw:
        boots = self.dice.choice(("never", "10s", "45s", "60s", "2m"))
        if boots != "never" and self._happens(EVEN):
            return {"boots": boots, "thenDiesAfter": self.dice.choice(("35s", "45s", "90s"))}
        return {"boots": boots}

    def _something(self) -> None:
        kinds: dict[Callable[[], None], int] = {
            self._hang: 10,
            self._lose_agents: 2,
            self._resume: 4,
            self._proxmox: 7,
            self._node: 1,
            self._part: 4,
            self._api: 2,
            self._next_post: 4,
            self._operator: 6,
            self._person: 7,
            self._change_config: 3,
            self._clock: 2,
        }
        self.dice.choices(list(kinds), list(kinds.values()))[0]()

    def _say(self, **event: object) -> None:
        self.events.append({"at": format_moment(round(self.now)), **event})

    def _there(self) -> list[str]:
        return [name for name in self.vms if name not in self.gone]

    def _several(self) -> list[str]:
        there = self._there()
        most = self.dice.choice((1, 1, 1, 1, 1, 2, 2, 3, len(there)))
        return self.dice.sample(there, min(most, len(there)))

    def _hang(self) -> None:
        if several := self._several():
            self._say(silence=several)

    def _lose_agents(self) -> None:
        if several := self._several():
            self._say(agentDies=several)

    def _resume(self) -> None:
        if several := self._several():
            self._say(resume=several)

    def _proxmox(self) -> None:
        there = [name for name in self._there() if not self._is_offline(name)]
        if not there:
            return
        vm = self.dice.choice(there)
        change = self.dice.choice(
            (
                {"power": self.dice.choice(("stopped", "paused", "io-error", "internal-error"))},
                {"power": "running"},
                {"lock": self.dice.choice(("backup", "migrate", "snapshot"))},
                {"lock": self.dice.choice(("backup", "migrate", "snapshot"))},
                {"lock": None},
                {"reboot": 0},
                {"ha": self.dice.choice(("started", "error", "migrate", None))},
                {"rename": f"{vm}-renamed"},
                {"template": True},
                {"reusedBy": "stranger"},
                {"exists": False},
            )
        )
        self._say(proxmox={"vm": vm, **change})
        if change.get("lock") is not None:
            self.locked.add(vm)
        if "reusedBy" in change or "exists" in change:
            self.gone.add(vm)

    def _is_offline(self, name: str) -> bool:
        return f"pve{name.split('-', maxsplit=1)[0]}" in self.offline

    def _node(self) -> None:
        node = self.dice.choice(self.nodes)
        state = "online" if node in self.offline else "offline"
        self.offline ^= {node}
        self._say(node=node, state=state)

    def _part(self) -> None:
        part = self.dice.choice(("ingest", "database", "kubernetes"))
        self._say(**{part: "down"})
        self.now += self.dice.choice((5, 20, 40, 90)) * self.dice.random()
        if self._happens(OFTEN):
            self._say(**{part: "up"})

    def _api(self) -> None:
        self._say(
            proxmoxApi=self.dice.choice(("unreachable", "forbidden", "empty", "noQuorum", "ok"))
        )

    def _next_post(self) -> None:
        self._say(nextPost=self.dice.choice(FAULTS).value)

    def _operator(self) -> None:
        match self.dice.randint(0, 4):
            case 0:
                self._say(operator="kill")
            case 1 | 2:
                self._say(operator="kill", killAt=self.dice.choice(CHECKPOINTS))
            case 3:
                self._say(operator="start")
            case _:
                self._say(operators=self.dice.randint(1, 3))

    def _person(self) -> None:
        vm = self.dice.choice(self.vms)
        match self.dice.randint(0, 6):
            case 0:
                minutes = self.dice.choice((0.5, 1, 2, 5))
                self._say(pause=vm, minutes=minutes, reason="by chance")
            case 1:
                self._say(unpause=vm)
            case 2 | 3:
                self._say(manualReset=vm, reason="by chance", force=self._happens(SELDOM))
            case 4:
                self._say(clear=vm)
            case 5:
                self.is_stopped = not self.is_stopped
                self._say(globalStop=self.is_stopped)
            case _:
                self._say(reject=[vm])

    def _change_config(self) -> None:
        self._say(
            config=self.dice.choice(
                (
                    {"staleTimeoutMs": 60_000},
                    {"staleTimeoutMs": 90_000},
                    {"dryRun": self._happens(EVEN)},
                    {"autoResetEnabled": self._happens(EVEN)},
                    {"maxResetAttempts": self.dice.randint(0, 3)},
                    {"maintenance": [self._window()]},
                    {"maintenance": []},
                )
            )
        )

    def _window(self) -> Raw:
        """Make a maintenance window for every VM."""
        begins = START + timedelta(seconds=round(self.now))
        ends = begins + timedelta(seconds=self.dice.choice((30, 60, 120)))
        return {
            "name": "by-chance",
            "matchLabels": {},
            "from": begins.isoformat(),
            "until": ends.isoformat(),
            "reason": "by chance",
        }

    def _clock(self) -> None:
        self._say(clockJump=self.dice.choice(("1h", "-1h", "10m", "-10s", "3s", "-3s", "-3s")))

    def _all_is_well(self) -> None:
        """Mend everything but the guests and what people decided about single VMs."""
        for part in ("database", "ingest", "kubernetes"):
            self._say(**{part: "up"})
        for node in sorted(self.offline):
            self._say(node=node, state="online")
        for vm in sorted(self.locked - self.gone):
            if self._happens(EVEN):
                self._say(proxmox={"vm": vm, "lock": None})
        self._say(proxmoxApi="ok")
        self._say(nextPost="ok")
        self._say(globalStop=False)
        self._say(accept=["all"])
        self._say(operators=1)
