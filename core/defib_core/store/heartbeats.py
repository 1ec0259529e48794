"""The hot path: one statement stores a batch of heartbeats, whole, in one commit.

It updates the narrow state rows, writes the metric rows, and, for the few VMs whose state flips,
the transition, the end of a hold and the proof of a recovery. That proof is the first heartbeat
after the reset, or, where that was still on its way from before it, the first of the new boot; a
resume boots nothing. A boot that was seen before the reset proves nothing, nor does a report of
another machine, by its SMBIOS UUID, nor any report while two machines seem to send them. A boot id
that comes back after another, twice within minutes, is no reboot: two machines report as this VM
(see clones.py). What was under way for longer than a report interval does not come here but to
late.py. Nothing else may be added here without measuring.
"""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter

import msgspec
from psycopg import AsyncConnection
from psycopg.errors import CheckViolation
from psycopg.rows import TupleRow

from defib_core.store.arrays import array
from defib_core.store.clones import IS_ANOTHER_MACHINE, SUSPECTED_FOR_SQL

MAX_BATCH = 1000
VM_ID = attrgetter("vm_id")

STORE = f"""
WITH clock AS (SELECT defib_now() AS now),
d AS (
    SELECT d.*, clock.now, clock.now - interval '1 second' * d.age AS at
    FROM clock, unnest(
        %s::bigint[], %s::text[], %s::real[], %s::int[], %s::int[], %s::bigint[], %s::bigint[],
        %s::bigint[], %s::text[], %s::timestamptz[], %s::real[], %s::int[], %s::text[], %s::real[]
    ) AS d(vm_id, status, cpu, ram, ram_total, disk, disk_total, uptime, boot_id, agent_time, age,
           relay_id, worst_disk, worst_disk_percent)
),
old AS (
    SELECT d.*, s.state, s.boot_id AS boot_id_before, s.reset_pending,
        CASE WHEN d.cpu > s.cpu_threshold OR d.ram * 100.0 > d.ram_total * s.ram_threshold::numeric
                  -- Of two machines one may be busy and one idle: that must not flap.
                  OR s.clone_since IS NOT NULL AND s.state = 'warning'
             THEN 'warning' ELSE 'healthy' END AS new_state,
        coalesce(d.boot_id <> s.boot_id AND d.boot_id = ANY (s.boot_ids_before), false)
            AS boot_returns,
        -- One that was under way longer than a later one, or than a reset, is history only.
        d.age = 0 OR (s.last_heartbeat IS NULL OR d.at > s.last_heartbeat
                      OR s.last_heartbeat > d.now)
                     AND NOT (s.reset_pending AND coalesce(d.at <= s.last_attempt_at, false))
            AS moves
    FROM vm_state s JOIN d ON d.vm_id = s.vm_id
    ORDER BY s.vm_id
    FOR UPDATE OF s
),
u AS (
    UPDATE vm_state s SET
        last_heartbeat = old.at,
        reports = s.reports + 1,
        state = old.new_state,
        state_since = CASE WHEN old.state = old.new_state THEN s.state_since ELSE old.now END,
        alive_since = CASE WHEN old.state IN ('healthy', 'warning') THEN s.alive_since
                           ELSE old.now END,
        reset_pending = false,
        status = old.status, cpu = old.cpu, ram = old.ram, ram_total = old.ram_total,
        disk = old.disk, disk_total = old.disk_total, uptime = old.uptime,
        boot_id = coalesce(old.boot_id, s.boot_id), agent_time = old.agent_time,
        relay_id = old.relay_id,
        worst_disk = old.worst_disk, worst_disk_percent = old.worst_disk_percent,
        boot_ids_before = CASE WHEN old.boot_id <> s.boot_id
            THEN (s.boot_id || coalesce(s.boot_ids_before, '{{}}'))[1:3] ELSE s.boot_ids_before END,
        boot_returned_at = CASE WHEN old.boot_returns THEN old.now ELSE s.boot_returned_at END,
        clone_since = CASE WHEN old.boot_returns AND s.clone_since IS NULL
                                AND s.boot_returned_at > old.now - {SUSPECTED_FOR_SQL}
            THEN old.now ELSE s.clone_since END
    FROM old
    WHERE s.vm_id = old.vm_id AND old.moves
    RETURNING s.vm_id, old.state AS from_state, s.state AS to_state, old.reset_pending,
              old.boot_id_before, old.boot_id, old.boot_returns, old.now, old.at,
              s.clone_since IS NOT NULL AS of_two_machines,
              coalesce(s.clone_since = old.now, false) AS clone_begins
),
metric AS (
    INSERT INTO vm_metric (vm_id, at, cpu, ram, ram_total, disk, disk_total, uptime)
    SELECT vm_id, at, cpu, ram, ram_total, disk, disk_total, uptime FROM old
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
clone_status AS (
    INSERT INTO status_outbox (vm_id) SELECT vm_id FROM u WHERE clone_begins
),
clone_change AS (
    INSERT INTO fleet_change (vm_id) SELECT vm_id FROM u WHERE clone_begins
),
held AS (
    UPDATE hold SET ended_at = greatest(u.now, hold.started_at) FROM u
    WHERE hold.vm_id = u.vm_id AND hold.ended_at IS NULL
      AND u.from_state IN ('unknown', 'down', 'reset_failed')
),
recovered AS (
    UPDATE reset_history r SET recovered_at = u.at FROM u
    WHERE (u.reset_pending
           OR u.boot_id <> u.boot_id_before AND r.sent_at > u.now - interval '1 hour')
      AND r.vm_id = u.vm_id AND r.recovered_at IS NULL
      AND r.sent_at IS NOT NULL AND r.phase <> 'failed'
      AND (u.at = u.now OR r.sent_at < u.at)
      AND (r.action = 'Resume' OR u.boot_id IS NULL OR r.boot_id_before IS NULL
           OR u.boot_id <> r.boot_id_before AND NOT u.boot_returns
              AND u.boot_id IS DISTINCT FROM u.boot_id_before)
      AND NOT u.of_two_machines
      AND NOT EXISTS (SELECT FROM vm v WHERE v.id = u.vm_id AND {IS_ANOTHER_MACHINE})
      AND r.id = (SELECT max(l.id) FROM reset_history l
                  WHERE l.vm_id = u.vm_id AND l.sent_at IS NOT NULL)
)
SELECT vm_id FROM old
"""


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
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
    age: float = 0.0
    """Seconds it was under way before it reached the API. With an age it moves no state that
    something later has moved."""
    relay_id: int | None = None
    """The relay it came through."""
    worst_disk: str | None = None
    """The fullest mount where that is not the root, and how full it is in percent."""
    worst_disk_percent: float | None = None


async def store(
    connection: AsyncConnection[TupleRow], heartbeats: Sequence[Heartbeat]
) -> frozenset[int]:
    """Store a batch, at most one heartbeat a VM, in one statement; committed when this returns.

    Returns the ids of the VMs that exist. One that is missing was removed: its heartbeat was not
    stored, and the caller registers it anew. The connection must be in autocommit mode.
    """
    rows = sorted(heartbeats, key=VM_ID)
    columns = [
        array([row.vm_id for row in rows]),
        array([row.status for row in rows]),
        array([row.cpu for row in rows]),
        array([row.ram for row in rows]),
        array([row.ram_total for row in rows]),
        array([row.disk for row in rows]),
        array([row.disk_total for row in rows]),
        array([row.uptime for row in rows]),
        array([row.boot_id for row in rows]),
        array([row.agent_time for row in rows]),
        array([row.age for row in rows]),
        array([row.relay_id for row in rows]),
        array([row.worst_disk for row in rows]),
        array([row.worst_disk_percent for row in rows]),
    ]
    try:
        cursor = await connection.execute(STORE, columns, prepare=True)
    except CheckViolation:
        # The partition of this hour was made while the statement ran: now it is there.
        cursor = await connection.execute(STORE, columns, prepare=True)
    return frozenset(row[0] for row in await cursor.fetchall())
