"""What happened since one last looked: changes of state, and ends of resets. For counting.

Ids are given out before their transactions end, so a lower one may be seen after a higher one:
whoever follows looks back over those of the last minute, and knows which he has counted.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.tables import UNFINISHED_SQL


@dataclass(frozen=True, slots=True)
class Flip:
    """A change of state."""

    id: int
    from_state: str
    to_state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ending:
    """An intent as it is now. `recovered_in`: seconds from the last heartbeat before it."""

    id: int
    source: str
    action: str
    phase: str
    finished: bool
    recovered_in: float | None
    requested_at: datetime
    sent_at: datetime | None
    recovered_at: datetime | None


NEWEST = text("""
SELECT coalesce((SELECT max(id) FROM vm_transition), 0) AS flips,
    coalesce((SELECT max(id) FROM reset_history), 0) AS intents
""")
FLIPS = text("""
SELECT id, from_state, to_state, reason FROM vm_transition
WHERE id > :above AND id <> ALL (CAST(:but AS bigint[])) ORDER BY id LIMIT :most
""")
# Followed until it is finished, and a sent one until the VM has come back, for a day.
OPEN = text(f"""
SELECT id FROM reset_history WHERE {UNFINISHED_SQL}
UNION
SELECT id FROM reset_history
WHERE sent_at > defib_now() - interval '1 day' AND recovered_at IS NULL
""")
ENDINGS = text("""
SELECT id, source, action, phase, finished_at IS NOT NULL AS finished,
    extract(epoch FROM recovered_at
        - coalesce((decision ->> 'lastHeartbeat')::timestamptz, sent_at))::float8 AS recovered_in,
    requested_at, sent_at, recovered_at
FROM reset_history
WHERE id > :above OR id = ANY (CAST(:followed AS bigint[]))
ORDER BY id
""")
MOST = 20_000


async def newest(connection: AsyncConnection) -> tuple[int, int]:
    """Give the highest ids there are now: of changes, and of intents."""
    row = (await connection.execute(NEWEST)).one()
    return row.flips, row.intents


async def flips(connection: AsyncConnection, above: int, but: Collection[int]) -> Sequence[Flip]:
    """Read the changes above an id, but those that are known."""
    bound = {"above": above, "but": list(but), "most": MOST}
    return [Flip(**row._mapping) for row in await connection.execute(FLIPS, bound)]


async def open_intents(connection: AsyncConnection) -> Collection[int]:
    """Read the intents of which something is still to come."""
    return [row.id for row in await connection.execute(OPEN)]


async def endings(
    connection: AsyncConnection, above: int, followed: Collection[int]
) -> Sequence[Ending]:
    """Read intents above an id, and those that are followed."""
    bound = {"above": above, "followed": list(followed)}
    return [Ending(**row._mapping) for row in await connection.execute(ENDINGS, bound)]
