"""The whole fleet in a few columns, for the map: names, nodes, a letter and a number each."""

from collections.abc import Iterable

import msgspec

from defib_api.fleet.snapshot import Fleet
from defib_api.prepared import Prepared
from defib_api.schemas.base import written


def prepare(fleet: Fleet) -> Prepared:
    """Write the columns. The tag stands for all but the moment: a fleet at rest keeps it."""
    known, figures = fleet.known, fleet.figures
    moment = written(figures.taken_at)
    head = msgspec.json.encode({"version": fleet.version, "takenAt": moment})
    now = msgspec.json.encode({"states": figures.states, "flags": list(figures.flags)})
    return Prepared(
        b"".join((head[:-1], b",", known.columns, b",", now[1:])), tag=known.digest + now
    )


def states_counted(states: str, letters: Iterable[str]) -> int:
    """Count the VMs that have one of these letters."""
    return sum(states.count(letter) for letter in letters)
