"""Reads the events of a scenario: one reader for each kind. Complains with the line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from defib_dev.proxmox_sim.faults import ApiMode, PostFault
from defib_dev.simulate import scenario as values
from defib_dev.simulate.moments import MINUTE
from defib_dev.simulate.reading import Fields, Value
from defib_dev.simulate.scenario import ALL, Event, Happening

CHECKPOINTS = ("intent", "sending", "sent", "stopped", "polled")
FAULTS = (
    PostFault.TIMEOUT_EXECUTED,
    PostFault.TIMEOUT_NOT_EXECUTED,
    PostFault.TASK_ERROR,
    PostFault.HTTP_500,
)
POWERS = ("running", "stopped", "paused", "io-error", "internal-error", "prelaunch")
LOCKS = ("backup", "migrate", "snapshot")
HA_STATES = ("error", "migrate", "started")
OK = "ok"


@dataclass(frozen=True, slots=True)
class Known:
    """What names in a scenario may refer to."""

    vms: frozenset[str]
    until: float

    def vm(self, given: Value) -> str:
        """Read the name of one VM."""
        name = given.text()
        if name not in self.vms:
            given.fail(f"there is no VM {name!r} in the fleet")
        return name

    def vms_of(self, given: Value) -> tuple[str, ...]:
        """Read names of VMs, or `all`."""
        names = given.items() if given.is_list() else [given]
        return tuple(ALL if one.plain() == ALL else self.vm(one) for one in names)

    def moment(self, given: Value) -> float:
        """Read a moment of the scenario."""
        at = given.moment()
        if at > self.until:
            given.fail("that is after the scenario's end (until)")
        return at


Reader = Callable[[Value, Fields, Known], Happening]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of event: how its value is read, and which keys may stand beside it."""

    read: Reader
    beside: tuple[str, ...] = ()


def parse_event(entry: Value, known: Known) -> list[Event]:
    """Read one entry of `events`: a moment and what happens then."""
    beside = [key for kind in KINDS.values() for key in kind.beside]
    given = entry.fields(("at",), (*KINDS, *beside))
    wanted = [name for name in given if name in KINDS]
    if not wanted:
        entry.fail(f"nothing happens here; an event has one of {', '.join(KINDS)}")
    allowed = {"at", *wanted, *(key for name in wanted for key in KINDS[name].beside)}
    for name in given.keys() - allowed:
        given[name].fail(f"{name!r} does not belong to {' and '.join(wanted)}")
    at = known.moment(given["at"])
    return [
        Event(at, given[name].line, KINDS[name].read(given[name], given, known)) for name in wanted
    ]


def _metrics(given: Value, _: Fields, known: Known) -> Happening:
    about = given.fields(("vm",), ("cpu", "ram"))
    cpu = about["cpu"].percent() if "cpu" in about else None
    ram = about["ram"].percent() if "ram" in about else None
    return values.Metrics(known.vm(about["vm"]), cpu, ram)


def _outage(part: str) -> Reader:
    return lambda given, _, __: values.Outage(part, up=given.word("down", "up") == "up")


def _operator(given: Value, beside: Fields, _: Known) -> Happening:
    step = beside["killAt"].word(*CHECKPOINTS) if "killAt" in beside else None
    if given.word("kill", "start") == "kill":
        return values.KillOperator(step)
    if step is not None:
        beside["killAt"].fail("'killAt' belongs to 'operator: kill'")
    return values.StartOperator()


def _node(given: Value, beside: Fields, _: Known) -> Happening:
    if "state" not in beside:
        given.fail("missing: state (offline or online)")
    state = beside["state"].word("offline", "online")
    return values.NodeState(given.text(), online=state == "online")


def _next_post(given: Value, _: Fields, __: Known) -> Happening:
    word = given.word(OK, *(fault.value for fault in FAULTS))
    return values.NextPost(None if word == OK else PostFault(word))


def _config(given: Value, _: Fields, __: Known) -> Happening:
    given.entries()
    return values.ConfigChange(given.plain())


def _pause(given: Value, beside: Fields, known: Known) -> Happening:
    lasts = beside["minutes"].positive() * MINUTE if "minutes" in beside else None
    reason = beside["reason"].text() if "reason" in beside else "paused by the scenario"
    return values.Pause(known.vm(given), reason, lasts)


def _manual(given: Value, beside: Fields, known: Known) -> Happening:
    reason = beside["reason"].text() if "reason" in beside else "asked by the scenario"
    force = beside["force"].truth() if "force" in beside else False
    return values.ManualReset(known.vm(given), reason, force)


def _jump(given: Value, _: Fields, __: Known) -> Happening:
    return values.ClockJump(given.signed_moment())


def _maybe(*words: str) -> Callable[[Value], object]:
    return lambda given: None if given.plain() is None else given.word(*words)


CHANGES: Mapping[str, Callable[[Value], object]] = {
    "power": lambda given: given.word(*POWERS),
    "lock": _maybe(*LOCKS),
    "node": lambda given: given.text(),
    "reusedBy": lambda given: given.text(),
    "rename": lambda given: given.text(),
    "template": lambda given: given.truth(),
    "reboot": lambda given: given.integer(),
    "ha": _maybe(*HA_STATES),
    "exists": lambda given: given.truth(),
}


def _proxmox(given: Value, _: Fields, known: Known) -> Happening:
    about = given.fields(("vm",), CHANGES)
    changes = {name: read(about[name]) for name, read in CHANGES.items() if name in about}
    if not changes:
        given.fail(f"nothing changes; say one of {', '.join(CHANGES)}")
    if changes.get("reboot", 0) not in (0, 1):
        about["reboot"].fail("expected 0 or 1")
    return values.ProxmoxChange(known.vm(about["vm"]), changes)


KINDS: Mapping[str, Kind] = {
    "silence": Kind(lambda given, _, known: values.Silence(known.vms_of(given))),
    "agentDies": Kind(lambda given, _, known: values.AgentDies(known.vms_of(given))),
    "resume": Kind(lambda given, _, known: values.Resume(known.vms_of(given))),
    "metrics": Kind(_metrics),
    "reject": Kind(lambda given, _, known: values.Reject(known.vms_of(given), refused=True)),
    "accept": Kind(lambda given, _, known: values.Reject(known.vms_of(given), refused=False)),
    "globalStop": Kind(lambda given, _, __: values.GlobalStop(given.truth())),
    "ingest": Kind(_outage("ingest")),
    "database": Kind(_outage("database")),
    "kubernetes": Kind(_outage("kubernetes")),
    "operator": Kind(_operator, ("killAt",)),
    "operators": Kind(lambda given, _, __: values.Operators(given.integer())),
    "node": Kind(_node, ("state",)),
    "proxmoxApi": Kind(
        lambda given, _, __: values.ProxmoxApi(
            ApiMode(given.word(*(mode.value for mode in ApiMode)))
        )
    ),
    "nextPost": Kind(_next_post),
    "proxmox": Kind(_proxmox),
    "config": Kind(_config),
    "pause": Kind(_pause, ("minutes", "reason")),
    "unpause": Kind(lambda given, _, known: values.Unpause(known.vm(given))),
    "manualReset": Kind(_manual, ("reason", "force")),
    "clear": Kind(lambda given, _, known: values.Clear(known.vm(given))),
    "clockJump": Kind(_jump),
}
