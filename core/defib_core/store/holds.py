"""Holds of many VMs at once: why each is not reset, as intervals; and those that last too long.

A hold goes on while its reason does. Its message follows without a new interval. Each function is
a statement or two for any number of VMs: in a mass outage all are held in one sweep.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

ALERTS_AFTER = timedelta(hours=1)
ALIVE_REASONS = "('GuestAgentAlive', 'IOActive')"
"""The guest shows signs of life: its reporting agent is the suspect, and a person's to repair."""
ALERTING = f"""
EXISTS (SELECT FROM hold e WHERE e.vm_id = h.vm_id AND e.alerted_at IS NOT NULL
        AND e.started_at > s.last_heartbeat)
AND h.reason IN {ALIVE_REASONS}
"""
"""Of an open `hold h` and `vm_state s`: it was found to last too long."""

WANTED = """
WITH wanted AS (
    SELECT * FROM unnest(CAST(:vm_ids AS bigint[]), CAST(:reasons AS text[]),
                         CAST(:messages AS text[])) AS w(vm_id, reason, message)
)
"""
GO_ON = text(f"""
{WANTED}
UPDATE hold h SET
    message = CASE WHEN h.reason = w.reason THEN w.message ELSE h.message END,
    released_at = CASE WHEN h.reason = w.reason THEN NULL ELSE h.released_at END,
    ended_at = CASE WHEN h.reason = w.reason THEN NULL ELSE greatest(:now, h.started_at) END
FROM wanted w
WHERE h.vm_id = w.vm_id AND h.ended_at IS NULL
  AND (h.reason <> w.reason OR h.message <> w.message OR h.released_at IS NOT NULL)
""")
BEGIN = text(f"""
{WANTED}
INSERT INTO hold (vm_id, reason, message, started_at)
SELECT w.vm_id, w.reason, w.message, :now FROM wanted w
JOIN vm_state s ON s.vm_id = w.vm_id
WHERE s.state IN ('down', 'reset_failed')
  AND NOT EXISTS (SELECT FROM hold h WHERE h.vm_id = w.vm_id AND h.ended_at IS NULL)
ORDER BY w.vm_id
ON CONFLICT DO NOTHING
RETURNING vm_id
""")
ALERT = text(f"""
WITH lasting AS (
    SELECT h.id FROM hold h JOIN vm_state s ON s.vm_id = h.vm_id
    WHERE h.ended_at IS NULL AND h.reason IN {ALIVE_REASONS} AND NOT ({ALERTING})
      AND (SELECT min(e.started_at) FROM hold e
           WHERE e.vm_id = h.vm_id AND e.reason IN {ALIVE_REASONS}
             AND e.started_at > s.last_heartbeat) <= :before
),
alerted AS (
    UPDATE hold h SET alerted_at = :now FROM lasting WHERE h.id = lasting.id RETURNING h.vm_id
)
SELECT vm_id FROM alerted
""")


@dataclass(frozen=True, slots=True)
class Held:
    """Why one VM is not reset now."""

    vm_id: int
    reason: str
    message: str


async def hold_all(
    connection: AsyncConnection, held: Sequence[Held], now: datetime
) -> frozenset[int]:
    """Note why VMs are not reset; return those for which the reason is a new one."""
    if not held:
        return frozenset()
    bound = {
        "vm_ids": [one.vm_id for one in held],
        "reasons": [one.reason for one in held],
        "messages": [one.message for one in held],
        "now": now,
    }
    await connection.execute(GO_ON, bound)
    return frozenset(row.vm_id for row in await connection.execute(BEGIN, bound))


async def alert(connection: AsyncConnection, now: datetime) -> Sequence[int]:
    """Find the VMs that have shown signs of life for an hour and do not report; once an incident.

    Signs of different kinds count as one.
    """
    rows = await connection.execute(ALERT, {"now": now, "before": now - ALERTS_AFTER})
    return [int(row.vm_id) for row in rows]
