"""What changed in the fleet, by number: read by every API process, none of which keeps it.

Numbers are given out before their transactions end, so a lower one may be seen after a higher one.
Who follows them has to look back; see the API's feed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.states import State

KEPT = timedelta(hours=1)
PRUNED_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class Seen:
    """The changes above a number, and the transactions that were under way meanwhile.

    Every transaction before `oldest` had ended; those from `next_one` on had not begun.
    """

    changes: Sequence[tuple[int, int]]
    """Number of the change, and the VM's id."""
    oldest: int
    next_one: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A VM as it is after its change; `state` None: there is no such VM any more."""

    vm_id: int
    hostname: str | None
    node: str | None
    state: State | None
    reset_pending: bool
    at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """Which changes are still there: from `lowest` to `highest`; 0 and 0 where none are."""

    lowest: int
    highest: int


# One statement, so that the changes and the transactions are of one moment.
ABOVE = text("""
SELECT c.id, c.vm_id,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest,
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_one
FROM (SELECT) AS always LEFT JOIN LATERAL (
    SELECT id, vm_id FROM fleet_change
    WHERE id > :above AND id <> ALL (CAST(:but AS bigint[]))
    ORDER BY id LIMIT :most
) AS c ON true
""")
AS_THEY_ARE = text("""
SELECT asked.vm_id, v.hostname, v.node, s.state, coalesce(s.reset_pending, false) AS reset_pending,
    t.at, t.reason
FROM unnest(CAST(:vm_ids AS bigint[])) AS asked(vm_id)
LEFT JOIN vm v ON v.id = asked.vm_id
LEFT JOIN vm_state s ON s.vm_id = v.id
LEFT JOIN LATERAL (
    SELECT at, reason FROM vm_transition WHERE vm_id = v.id ORDER BY id DESC LIMIT 1
) AS t ON true
ORDER BY asked.vm_id
""")
KEPT_NOW = text("""
SELECT coalesce(min(id), 0) AS lowest, coalesce(max(id), 0) AS highest FROM fleet_change
""")
PRUNE = text("""
DELETE FROM fleet_change WHERE id IN (
    SELECT id FROM fleet_change WHERE at < :before ORDER BY id LIMIT :most
) AND id < (SELECT max(id) FROM fleet_change)
""")


async def above(connection: AsyncConnection, number: int, but: Collection[int], most: int) -> Seen:
    """Read the changes above a number, but those that are known already."""
    bound = {"above": number, "but": list(but), "most": most}
    rows = (await connection.execute(ABOVE, bound)).all()
    changes = [(row.id, row.vm_id) for row in rows if row.id is not None]
    return Seen(changes, rows[0].oldest, rows[0].next_one)


async def as_they_are(connection: AsyncConnection, vm_ids: Collection[int]) -> Sequence[Changed]:
    """Read VMs that changed, as they are now, by their ids."""
    rows = await connection.execute(AS_THEY_ARE, {"vm_ids": sorted(vm_ids)})
    return [
        Changed(**{**row._mapping, "state": None if row.state is None else State(row.state)})
        for row in rows
    ]


async def kept(connection: AsyncConnection) -> Kept:
    """Read which changes are still there."""
    row = (await connection.execute(KEPT_NOW)).one()
    return Kept(row.lowest, row.highest)


async def prune(connection: AsyncConnection, now: datetime) -> int:
    """Drop what is older than an hour, but the last one: its number says where the rest went."""
    done = await connection.execute(PRUNE, {"before": now - KEPT, "most": PRUNED_AT_ONCE})
    return int(done.rowcount)
