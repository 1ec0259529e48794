"""Proof that heartbeats would be stored, and the record of when they would not.

Each API replica proves itself once a second through the connection that stores heartbeats. The
first proof after a silence of all replicas writes down the gap; the sweep moves the clocks of all
VMs behind it. A proof of another replica from the future, left by a clock that jumped back, is
forgotten: it would hide that nobody stores. So are the other moments from the future that silence
and waits are counted from: else a VM that hangs would have to wait until the clock has caught up.
"""

from dataclasses import dataclass
from datetime import timedelta

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from defib_core.store.clock import CLOCK_JUMP

PROVE_EVERY = timedelta(seconds=1)
GAP_AFTER = timedelta(seconds=2)
"""Shorter silences are ordinary; `safety.blindAfterSeconds` cannot be set lower."""

PROVE = """
WITH clock AS (SELECT defib_now() AS now),
last AS (SELECT max(proved_at) AS at FROM ingest_liveness),
gap AS (
    INSERT INTO ingest_gap (started_at, ended_at, cause)
    SELECT least(last.at, clock.now), clock.now,
           CASE WHEN %(jumped)s OR last.at > clock.now THEN 'clock_jump' ELSE 'silence' END
    FROM last, clock
    WHERE %(jumped)s OR clock.now - last.at > %(gap_after)s
       OR last.at > clock.now + %(clock_jump)s
),
forgotten AS (
    DELETE FROM ingest_liveness WHERE replica IN (
        SELECT l.replica FROM ingest_liveness l, clock
        WHERE l.replica <> %(replica)s
          AND (l.proved_at < clock.now - interval '1 day'
               OR l.proved_at > clock.now + %(clock_jump)s)
        FOR UPDATE OF l SKIP LOCKED)
)
INSERT INTO ingest_liveness (replica, started_at, proved_at)
SELECT %(replica)s, clock.now, clock.now FROM clock
ON CONFLICT (replica) DO UPDATE SET proved_at = excluded.proved_at
RETURNING extract(epoch FROM proved_at)::float8,
    coalesce((SELECT last.at > clock.now + %(clock_jump)s FROM last, clock), false)
"""
FORGET_THE_FUTURE = """
WITH clock AS (SELECT defib_now() AS now),
ahead AS (
    SELECT s.vm_id FROM vm_state s, clock
    WHERE greatest(s.last_heartbeat, s.clock_floor, s.alive_since, s.last_attempt_at) > clock.now
    ORDER BY s.vm_id
    FOR UPDATE OF s
)
UPDATE vm_state s SET
    last_heartbeat = least(s.last_heartbeat, clock.now),
    clock_floor = least(s.clock_floor, clock.now),
    alive_since = CASE WHEN s.alive_since IS NOT NULL THEN least(s.alive_since, clock.now) END,
    last_attempt_at =
        CASE WHEN s.last_attempt_at IS NOT NULL THEN least(s.last_attempt_at, clock.now) END
FROM ahead, clock
WHERE s.vm_id = ahead.vm_id
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """The database's clock, in seconds since the epoch, and whether it is behind the last proof."""

    now: float
    went_back: bool


async def prove(
    connection: AsyncConnection[TupleRow], replica: str, *, jumped: bool = False
) -> Proof:
    """Prove that this replica stores.

    `jumped` says that the database's clock moved against the caller's monotonic clock by more than
    CLOCK_JUMP since its last proof.
    """
    cursor = await connection.execute(
        PROVE,
        {"replica": replica, "jumped": jumped, "gap_after": GAP_AFTER, "clock_jump": CLOCK_JUMP},
        prepare=True,
    )
    row = await cursor.fetchone()
    assert row is not None
    return Proof(float(row[0]), bool(row[1]))


async def forget_the_future(connection: AsyncConnection[TupleRow]) -> None:
    """Count from now what would count from a moment that the clock, set back, has yet to reach.

    The gap that the jump left moves every clock to now as well, so nothing looks older for it.
    """
    await connection.execute(FORGET_THE_FUTURE)
