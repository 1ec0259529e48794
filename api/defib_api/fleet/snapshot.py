"""The fleet at one moment, in columns, with what is worth keeping from one moment to the next.

Rows are positions in the columns. Sorting builds on the order by name, which changes rarely: all
else is sorted from there, stably, so VMs that are equal are in the order of their names.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from math import isnan

import msgspec

from defib_api.fleet import cursor
from defib_api.fleet.cursor import Key
from defib_api.fleet.finding import UNHEALTHY_FIRST, LabelWanted, Ordering, Sort, Wanted
from defib_core.store.fleet_columns import LETTERS, PAUSED, Figures, WrittenNames

RANKS = {letter: UNHEALTHY_FIRST[state] for state, letter in LETTERS.items()}


class Known:
    """Who the VMs are, prepared for looking them up."""

    def __init__(self, written: WrittenNames) -> None:
        self.written = written
        self.names = written.read()

    @cached_property
    def folded(self) -> Sequence[str]:
        """Each host name without its case."""
        return [name.casefold() for name in self.names.hostnames]

    @cached_property
    def searched(self) -> Sequence[str]:
        """What a search looks at, of each VM."""
        names = self.names
        return [
            f"{host}\n{vmid}\n{(node or '').casefold()}"
            for host, vmid, node in zip(self.folded, names.vmids, names.nodes, strict=True)
        ]

    @cached_property
    def columns(self) -> bytes:
        """Who they are, as the columns of a fleet's JSON: without its outer braces."""
        names = self.names
        places = list(zip(names.clusters, names.nodes, strict=True))
        nodes = sorted(set(places), key=lambda place: (place[0], place[1] or ""))
        positions = {place: position for position, place in enumerate(nodes)}
        columns = {
            "nodes": [{"cluster": cluster, "node": node} for cluster, node in nodes],
            "ids": list(names.ids),
            "hostnames": names.hostnames,
            "node": [positions[place] for place in places],
        }
        return msgspec.json.encode(columns)[1:-1]

    @cached_property
    def digest(self) -> bytes:
        """Stands for `columns`."""
        return hashlib.blake2b(self.columns, digest_size=16).digest()

    @cached_property
    def by_name(self) -> Sequence[int]:
        """All rows in the order of their names, the older VM first where two are alike."""
        return sorted(range(len(self.names.ids)), key=self.folded.__getitem__)


class Fleet:
    """Who the VMs are and how, at one moment."""

    def __init__(self, known: Known, figures: Figures, version: int) -> None:
        assert known.names.ids == figures.ids
        self.known = known
        self.names = known.names
        self.figures = figures
        self.version = version
        self._sorted: dict[Ordering, Sequence[int]] = {}

    def found(self, wanted: Wanted, order: Ordering) -> Sequence[int]:
        """All rows that are wanted, in order."""
        rows: Sequence[int] = self._in_order(order)
        for keep in self._filters(wanted):
            rows = [row for row in rows if keep(row)]
        return rows

    def after(self, rows: Sequence[int], order: Ordering, key: Key | None) -> Sequence[int]:
        """The part of `rows` that comes behind a place."""
        if key is None:
            return rows
        key_of = self.key_of(order)
        if order.reverse:
            # Bisecting wants what ascends.
            ascending = rows[::-1]
            return rows[len(rows) - bisect_left(ascending, key, key=key_of) :]
        return rows[bisect_right(rows, key, key=key_of) :]

    def key_of(self, order: Ordering) -> Callable[[int], Key]:
        """What tells the place of a row in a list of this order."""
        value, folded, ids = self._value(order), self.known.folded, self.names.ids
        return lambda row: (value(row), folded[row], ids[row])

    def _in_order(self, order: Ordering) -> Sequence[int]:
        rows = self._sorted.get(order)
        if rows is None:
            rows = self.known.by_name
            if order.by is not Sort.HOSTNAME:
                rows = sorted(rows, key=self._value(order))
            if order.reverse:
                rows = rows[::-1]
            self._sorted[order] = rows
        return rows

    def _value(self, order: Ordering) -> Callable[[int], float | str]:
        names, figures = self.names, self.figures
        values: dict[Sort, Callable[[int], float | str]] = {
            Sort.HEALTH: lambda row: RANKS[figures.states[row]],
            Sort.HOSTNAME: self.known.folded.__getitem__,
            Sort.NODE: lambda row: names.nodes[row] or "",
            Sort.VMID: names.vmids.__getitem__,
            Sort.CPU: _or_last(figures.cpu, order),
            Sort.RAM: _or_last(figures.ram, order),
            Sort.LAST_HEARTBEAT: _or_last(figures.heartbeats, order),
        }
        return values[order.by]

    def _filters(self, wanted: Wanted) -> Iterable[Callable[[int], bool]]:
        names, figures = self.names, self.figures
        if wanted.states is not None:
            letters = frozenset(LETTERS[state] for state in wanted.states)
            yield lambda row: figures.states[row] in letters
        if wanted.paused is not None:
            yield lambda row: bool(figures.flags[row] & PAUSED) is wanted.paused
        if wanted.node is not None:
            yield lambda row: names.nodes[row] == wanted.node
        if wanted.cluster is not None:
            yield lambda row: names.clusters[row] == wanted.cluster
        for label in wanted.labels:
            yield self._labelled(label)
        if wanted.search:
            needle, searched = wanted.search.casefold(), self.known.searched
            yield lambda row: needle in searched[row]

    def _labelled(self, label: LabelWanted) -> Callable[[int], bool]:
        labels = self.names.labels
        if label.value is None:
            return lambda row: label.key in labels[row]
        return lambda row: labels[row].get(label.key) == label.value


def _or_last(column: Sequence[float], order: Ordering) -> Callable[[int], float]:
    last = cursor.unknown(order)

    def value(row: int) -> float:
        figure = column[row]
        return last if isnan(figure) else figure

    return value
