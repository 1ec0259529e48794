"""The whole fleet in a few columns, for the map: names, nodes, a letter and a number each."""

from collections.abc import Iterable

import msgspec

from defib_api.fleet.snapshot import Fleet
from defib_api.prepared import Prepared
from defib_api.schemas.base import written


def prepare(fleet: Fleet) -> Prepared:
    """Write the columns. The tag stands for all but the moment: a fleet at rest keeps it."""
    names = fleet.names
    places = list(zip(names.clusters, names.nodes, strict=True))
    nodes = sorted(set(places), key=lambda place: (place[0], place[1] or ""))
    positions = {place: position for position, place in enumerate(nodes)}
    columns = {
        "nodes": [{"cluster": cluster, "node": node} for cluster, node in nodes],
        "ids": list(names.ids),
        "hostnames": names.hostnames,
        "node": [positions[place] for place in places],
        "states": fleet.figures.states,
        "flags": list(fleet.figures.flags),
    }
    content = msgspec.json.encode(columns)
    moment = written(fleet.figures.taken_at)
    head = msgspec.json.encode({"version": fleet.version, "takenAt": moment})
    return Prepared(head[:-1] + b"," + content[1:], tag=content)


def states_counted(states: str, letters: Iterable[str]) -> int:
    """Count the VMs that have one of these letters."""
    return sum(states.count(letter) for letter in letters)
