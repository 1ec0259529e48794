"""The whole fleet as columns: a number or a letter for each VM, packed by PostgreSQL.

A hundred thousand VMs as rows would cost the API half a second of its one thread; as a few packed
columns they cost it milliseconds. Names and labels change rarely and are read less often.
"""

import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.states import State

LETTERS: Mapping[State, str] = {
    State.HEALTHY: "h",
    State.WARNING: "w",
    State.DOWN: "d",
    State.UNKNOWN: "u",
    State.RESET_FAILED: "f",
}
PAUSED, PENDING, HELD = 1, 2, 4
"""Bits of a VM's flags."""


@dataclass(frozen=True, slots=True)
class Names:
    """Who the VMs are. All columns have the same order, that of `ids`, ascending."""

    ids: "array[int]"
    vmids: "array[int]"
    hostnames: Sequence[str]
    nodes: Sequence[str | None]
    clusters: Sequence[str]
    labels: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class WrittenNames:
    """Who the VMs are, as PostgreSQL wrote it: to be held against another without reading it."""

    ids: bytes
    vmids: bytes
    hostnames: str
    nodes: str
    clusters: str
    labels: str

    def read(self) -> Names:
        """Read it. Of a hundred thousand VMs that takes a tenth of a second."""
        return Names(
            ids=_numbers("q", self.ids),
            vmids=_numbers("i", self.vmids),
            hostnames=msgspec.json.decode(self.hostnames),
            nodes=msgspec.json.decode(self.nodes),
            clusters=msgspec.json.decode(self.clusters),
            labels=msgspec.json.decode(self.labels),
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """How the VMs are, in the order of `ids`, ascending. NaN where nothing is known."""

    taken_at: datetime
    ids: "array[int]"
    states: str
    """A letter each; see LETTERS."""
    flags: bytes
    cpu: "array[float]"
    """Percent."""
    ram: "array[float]"
    """Percent."""
    heartbeats: "array[float]"
    """Seconds since 1970."""


NONE = "[]"
SERIAL = text("SET LOCAL max_parallel_workers_per_gather = 0")
LETTER_SQL = "CASE s.state {} END".format(
    " ".join(f"WHEN '{state}' THEN '{letter}'" for state, letter in LETTERS.items())
)
FIGURES = """
    string_agg(int8send(one.id), '') AS ids, string_agg(one.letter, '') AS states,
    string_agg(set_byte('\\x00'::bytea, 0, one.flags), '') AS flags,
    string_agg(float4send(one.cpu), '') AS cpu, string_agg(float4send(one.ram), '') AS ram,
    string_agg(float8send(one.heartbeat), '') AS heartbeats
"""
NAMES = """
    string_agg(int4send(one.vmid), '') AS vmids, json_agg(one.hostname)::text AS hostnames,
    json_agg(one.node)::text AS nodes, json_agg(one.cluster)::text AS clusters,
    json_agg(one.labels)::text AS labels
"""
ONE_BY_ONE = f"""
FROM (
    SELECT v.id, v.vmid, v.hostname, v.node, c.name AS cluster, v.labels,
        {LETTER_SQL} AS letter, coalesce(s.cpu, 'NaN') AS cpu,
        coalesce((100.0 * s.ram / nullif(s.ram_total, 0))::real, 'NaN') AS ram,
        coalesce(extract(epoch FROM s.last_heartbeat)::float8, 'NaN') AS heartbeat,
        CASE WHEN z.reason IS NOT NULL AND (z.until IS NULL OR z.until > clock.now)
             THEN {PAUSED} ELSE 0 END
        + CASE WHEN s.reset_pending THEN {PENDING} ELSE 0 END
        + CASE WHEN h.id IS NULL THEN 0 ELSE {HELD} END AS flags
    FROM vm v
    JOIN vm_state s ON s.vm_id = v.id
    JOIN vm_paused z ON z.vm_id = v.id
    JOIN proxmox_cluster c ON c.id = v.cluster_id
    LEFT JOIN hold h ON h.vm_id = v.id AND h.ended_at IS NULL
    CROSS JOIN (SELECT defib_now() AS now) AS clock
    ORDER BY v.id
) AS one
"""
READ_FIGURES = text(f"SELECT defib_now() AS now, {FIGURES} {ONE_BY_ONE}")
READ_BOTH = text(f"SELECT defib_now() AS now, {FIGURES}, {NAMES} {ONE_BY_ONE}")


async def figures(connection: AsyncConnection) -> Figures:
    """Read how all VMs are."""
    await connection.execute(SERIAL)
    return _figures((await connection.execute(READ_FIGURES)).one())


async def both(connection: AsyncConnection) -> tuple[WrittenNames, Figures]:
    """Read who all VMs are, and how, at one moment."""
    await connection.execute(SERIAL)
    row = (await connection.execute(READ_BOTH)).one()
    names = WrittenNames(
        ids=bytes(row.ids or b""),
        vmids=bytes(row.vmids or b""),
        hostnames=row.hostnames or NONE,
        nodes=row.nodes or NONE,
        clusters=row.clusters or NONE,
        labels=row.labels or NONE,
    )
    return names, _figures(row)


def _figures(row: Row[Any]) -> Figures:
    return Figures(
        taken_at=row.now,
        ids=_numbers("q", row.ids),
        states=row.states or "",
        flags=bytes(row.flags or b""),
        cpu=_numbers("f", row.cpu),
        ram=_numbers("f", row.ram),
        heartbeats=_numbers("d", row.heartbeats),
    )


def _numbers(kind: str, packed: bytes | None) -> "array[Any]":
    """Unpack what PostgreSQL sends in network order; empty where there was no row."""
    found = array(kind)
    found.frombytes(packed or b"")
    if sys.byteorder == "little":
        found.byteswap()
    return found
