"""From when on a VM could have been heard: no clock of a VM may run from before that. Pure.

Told from what happened in the scenario, not from what Defib wrote down. Where it is not certain
that Defib could see a thing, nothing is claimed of it: what happens at the very moment that is
asked for may come after what was done then.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from defib_dev.simulate.scenario import (
    ClockJump,
    Event,
    GlobalStop,
    KillOperator,
    NodeState,
    Operators,
    Outage,
    Pause,
    ProxmoxApi,
    ProxmoxChange,
    Scenario,
    StartOperator,
    Unpause,
)

BLIND_WITHIN = 17.0
"""An outage of this length is blindness, and has been seen to be one."""
NOTICED_JUMP = 6.0
SEEN_WITHIN = 25.0
"""What lasts this long in Proxmox is seen by an operator that looks every ten seconds."""
HIDES_FROM_OPERATOR = (KillOperator, StartOperator, Operators, ProxmoxApi, ClockJump)


def floors(scenario: Scenario, vm: str | None, before: float) -> Iterator[float]:
    """Give the moments from which the clock of a VM has to start again; None: of every VM."""
    events = [event for event in scenario.events if event.at < before]
    yield from _outages(events)
    yield from _jumps(events)
    yield from _spans(events, _global_stop)
    if vm is None:
        return
    if not any(isinstance(event.happening, ClockJump | Outage) for event in events):
        yield from _pauses(events, vm, before)
    if not any(isinstance(event.happening, (*HIDES_FROM_OPERATOR, Outage)) for event in events):
        yield from _proxmox(events, vm, scenario.vm(vm).node)


def blind_since(scenario: Scenario, moment: float) -> float | None:
    """Since when no heartbeat could be stored; None: it could, or had a moment ago."""
    since: dict[str, float] = {}
    for event in scenario.events:
        match event.happening:
            case Outage("ingest" | "database" as part, up) if event.at <= moment:
                if up:
                    since.pop(part, None)
                else:
                    since.setdefault(part, event.at)
    began = min(since.values(), default=moment)
    return began if moment - began > BLIND_WITHIN else None


def small_jumps(scenario: Scenario) -> float:
    """Give the seconds that corrections of the database's clock may have taken from a wait."""
    jumps = (event.happening for event in scenario.events)
    by = (abs(one.by) for one in jumps if isinstance(one, ClockJump))
    return sum(length for length in by if length <= NOTICED_JUMP)


def _jumps(events: list[Event]) -> Iterator[float]:
    """Give the moments of jumps; what jumps forth and back at the same moment has not jumped."""
    by_moment: dict[float, float] = defaultdict(float)
    for event in events:
        if isinstance(event.happening, ClockJump):
            by_moment[event.at] += event.happening.by
    yield from (at for at, by in by_moment.items() if abs(by) > NOTICED_JUMP)


def _outages(events: list[Event]) -> Iterator[float]:
    for part in ("ingest", "database"):

        def is_down(event: Event, part: str = part) -> bool | None:
            one = event.happening
            return not one.up if isinstance(one, Outage) and one.part == part else None

        yield from _spans(events, is_down, least=BLIND_WITHIN)


def _global_stop(event: Event) -> bool | None:
    one = event.happening
    return one.stopped if isinstance(one, GlobalStop) else None


def _pauses(events: list[Event], vm: str, before: float) -> Iterator[float]:
    until: float | None = None
    is_paused = False
    for event in events:
        match event.happening:
            case Pause(name, _, lasts) if name == vm:
                is_paused, until = True, None if lasts is None else event.at + lasts
            case Unpause(name) if name == vm and is_paused:
                if until is None or event.at < until:
                    yield event.at
                is_paused = False
    if is_paused and until is not None and until <= before:
        yield until


def _proxmox(events: list[Event], vm: str, node: str) -> Iterator[float]:
    """Locks, pauses and nodes: while they last the guest cannot report."""
    changes = [one for event in events if (one := _change(event, vm)) is not None]
    if not any("node" in one for one in changes):
        yield from _spans(events, lambda event: _is_away(event, node), least=SEEN_WITHIN)

    def is_locked(event: Event) -> bool | None:
        one = _change(event, vm)
        return None if one is None or "lock" not in one else one["lock"] is not None

    yield from _spans(events, is_locked, least=SEEN_WITHIN)


def _change(event: Event, vm: str) -> Mapping[str, object] | None:
    one = event.happening
    return one.changes if isinstance(one, ProxmoxChange) and one.vm == vm else None


def _is_away(event: Event, node: str) -> bool | None:
    one = event.happening
    return not one.online if isinstance(one, NodeState) and one.node == node else None


def _spans(
    events: list[Event], is_on: Callable[[Event], bool | None], *, least: float = 0.0
) -> Iterator[float]:
    """Give the end of each span that lasted; `is_on` None: this event says nothing of it."""
    since: float | None = None
    for event in events:
        match is_on(event), since:
            case True, None:
                since = event.at
            case False, float(began):
                since = None
                if event.at - began > least:
                    yield event.at
            case _:
                pass
