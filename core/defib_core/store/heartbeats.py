"""The hot path: one statement stores a batch of heartbeats, whole, in one commit.

It updates the narrow state rows, writes the metric rows, and, for the few VMs whose state flips,
the transition, the end of a hold and the proof of a recovery. That proof is the first heartbeat
after the reset, or, where that was still on its way from before it, the first of the new boot; a
resume boots nothing. Nothing else may be added here without measuring.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection
from psycopg.errors import CheckViolation
from psycopg.rows import TupleRow

MAX_BATCH = 1000

STORE = """
WITH clock AS (SELECT defib_now() AS now),
d AS (
    SELECT * FROM unnest(
        %s::bigint[], %s::text[], %s::real[], %s::int[], %s::int[], %s::bigint[], %s::bigint[],
        %s::bigint[], %s::text[], %s::timestamptz[]
    ) AS d(vm_id, status, cpu, ram, ram_total, disk, disk_total, uptime, boot_id, agent_time)
),
old AS (
    SELECT s.vm_id, s.state, s.boot_id, s.reset_pending,
        CASE WHEN d.cpu > s.cpu_threshold OR d.ram * 100.0 > d.ram_total * s.ram_threshold::numeric
             THEN 'warning' ELSE 'healthy' END AS new_state
    FROM vm_state s JOIN d ON d.vm_id = s.vm_id
    ORDER BY s.vm_id
    FOR UPDATE OF s
),
u AS (
    UPDATE vm_state s SET
        last_heartbeat = clock.now,
        reports = s.reports + 1,
        state = old.new_state,
        state_since = CASE WHEN old.state = old.new_state THEN s.state_since ELSE clock.now END,
        alive_since = CASE WHEN old.state IN ('healthy', 'warning') THEN s.alive_since
                           ELSE clock.now END,
        reset_pending = false,
        status = d.status, cpu = d.cpu, ram = d.ram, ram_total = d.ram_total,
        disk = d.disk, disk_total = d.disk_total, uptime = d.uptime,
        boot_id = coalesce(d.boot_id, s.boot_id), agent_time = d.agent_time
    FROM d, old, clock
    WHERE s.vm_id = d.vm_id AND old.vm_id = d.vm_id
    RETURNING s.vm_id, old.state AS from_state, s.state AS to_state, old.reset_pending,
              old.boot_id AS boot_id_before, d.boot_id, clock.now
),
metric AS (
    INSERT INTO vm_metric (vm_id, at, cpu, ram, ram_total, disk, disk_total, uptime)
    SELECT u.vm_id, u.now, d.cpu, d.ram, d.ram_total, d.disk, d.disk_total, d.uptime
    FROM u JOIN d ON d.vm_id = u.vm_id
    ON CONFLICT DO NOTHING
),
flip AS (
    INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)
    SELECT vm_id, now, from_state, to_state,
        CASE WHEN from_state = 'unknown' THEN 'FirstHeartbeat'
             WHEN to_state = 'warning' THEN 'ThresholdExceeded'
             WHEN from_state = 'warning' THEN 'ThresholdsKept'
             ELSE 'HeartbeatFresh' END
    FROM u WHERE from_state <> to_state
),
held AS (
    UPDATE hold SET ended_at = greatest(u.now, hold.started_at) FROM u
    WHERE hold.vm_id = u.vm_id AND hold.ended_at IS NULL
      AND u.from_state IN ('unknown', 'down', 'reset_failed')
),
recovered AS (
    UPDATE reset_history r SET recovered_at = u.now FROM u
    WHERE (u.reset_pending
           OR u.boot_id <> u.boot_id_before AND r.sent_at > u.now - interval '1 hour')
      AND r.vm_id = u.vm_id AND r.recovered_at IS NULL
      AND r.sent_at IS NOT NULL AND r.phase <> 'failed'
      AND (r.action = 'Resume' OR u.boot_id IS NULL OR r.boot_id_before IS NULL
           OR u.boot_id <> r.boot_id_before)
      AND r.id = (SELECT max(l.id) FROM reset_history l
                  WHERE l.vm_id = u.vm_id AND l.sent_at IS NOT NULL)
)
SELECT vm_id, to_state, reset_pending FROM u
"""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One report of one known VM. RAM and disk in MiB, CPU in percent, uptime in seconds."""

    vm_id: int
    status: str
    cpu: float
    ram: int
    ram_total: int
    disk: int | None
    disk_total: int | None
    uptime: int | None
    boot_id: str | None
    agent_time: datetime | None


async def store(
    connection: AsyncConnection[TupleRow], heartbeats: Sequence[Heartbeat]
) -> frozenset[int]:
    """Store a batch, at most one heartbeat a VM, in one statement; committed when this returns.

    Returns the ids of the VMs that exist. One that is missing was removed: its heartbeat was not
    stored, and the caller registers it anew. The connection must be in autocommit mode.
    """
    rows = sorted(heartbeats, key=lambda one: one.vm_id)
    columns = [
        [row.vm_id for row in rows],
        [row.status for row in rows],
        [row.cpu for row in rows],
        [row.ram for row in rows],
        [row.ram_total for row in rows],
        [row.disk for row in rows],
        [row.disk_total for row in rows],
        [row.uptime for row in rows],
        [row.boot_id for row in rows],
        [row.agent_time for row in rows],
    ]
    try:
        cursor = await connection.execute(STORE, columns, prepare=True)
    except CheckViolation:
        # The partition of this hour was made while the statement ran: now it is there.
        cursor = await connection.execute(STORE, columns, prepare=True)
    return frozenset(row[0] for row in await cursor.fetchall())
