"""Which VMs a sweep has to look at: one narrow scan of the states, without a join.

Of a million VMs all but a few report. So a sweep first asks for the ids of the others, and each of
its statements looks at these only. They are a superset: what holds of a VM is asked again by the
statement that acts on it. No index on the heartbeat serves this: it would cost each report more
than the scan costs a sweep.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# The first columns of the row decide: what stands behind them need not be unpacked.
UNWELL = text("""
SELECT vm_id FROM vm_state
WHERE last_heartbeat < coalesce(CAST(:heard_before AS timestamptz), '-infinity')
   OR state IN ('down', 'reset_failed')
UNION ALL
SELECT vm_id FROM vm_state WHERE reset_attempts > 0
""")
# Silence of a fleet's VMs is over the smallest stale timeout in force among them.
SMALLEST = text("""
SELECT c.id AS config_id, least(
    (SELECT min(v.stale_timeout_override) FROM vm v
     WHERE v.config_id = c.id AND v.stale_timeout_override IS NOT NULL),
    (SELECT make_interval(secs => (c.spec ->> 'staleTimeoutMs')::float8 / 1000)
     WHERE EXISTS (SELECT FROM vm v
                   WHERE v.config_id = c.id AND v.stale_timeout_override IS NULL))
) AS least
FROM system_config c
""")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the VMs of one fleet may be silent before a sweep has to know."""

    least: timedelta
    floor: datetime
    """Nobody is silent for longer than since then."""
    blind: bool

    def heard_before(self, now: datetime) -> datetime | None:
        """Who was last heard before this is to be looked at; None where nobody is."""
        if self.blind or now - self.floor <= self.least:
            return None
        return now - self.least


async def smallest_timeouts(connection: AsyncConnection) -> dict[int, timedelta]:
    """Read the smallest stale timeout in force in each fleet that has VMs."""
    rows = await connection.execute(SMALLEST)
    return {row.config_id: row.least for row in rows if row.least is not None}


async def unwell(
    connection: AsyncConnection, patience: Iterable[Patience], now: datetime
) -> Sequence[int]:
    """Find all VMs that are silent, down or reset_failed, or whose attempts still count."""
    moments = (one.heard_before(now) for one in patience)
    heard_before = max((one for one in moments if one is not None), default=None)
    rows = await connection.execute(UNWELL, {"heard_before": heard_before})
    return sorted({int(row.vm_id) for row in rows})
