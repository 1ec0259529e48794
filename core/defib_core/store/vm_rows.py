"""A VM as the API shows it, written as JSON by PostgreSQL: thousands of them in one answer.

Made there and not here, because the process that takes the reports must not spend its time on
writing lists. The fields are those of the API's schema `Vm`; a test holds the two together.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.written import written_moment


def _percent(used: str, total: str) -> str:
    return f"round(100.0 * {used} / nullif({total}, 0), 1)"


SHOWN = f"""
SELECT 'vm_' || v.id AS "id", v.hostname AS "hostname", v.vmid::text AS "vmid",
    s.status AS "status",
    CASE s.state WHEN 'reset_failed' THEN 'down' ELSE s.state END AS "health",
    s.state AS "state", {written_moment("s.state_since")} AS "stateSince",
    s.cpu AS "cpuUsage", s.ram AS "ramUsage", s.ram_total AS "ramTotal",
    {_percent("s.ram", "s.ram_total")} AS "ramPercent",
    s.disk AS "diskUsage", s.disk_total AS "diskTotal",
    {_percent("s.disk", "s.disk_total")} AS "diskPercent",
    s.worst_disk AS "worstDiskMount", round(s.worst_disk_percent::numeric, 1) AS "worstDiskPercent",
    s.uptime AS "uptime",
    {written_moment("s.last_heartbeat")} AS "lastHeartbeat",
    s.state IN ('down', 'reset_failed') AS "isDown", s.state = 'warning' AS "isWarning",
    c.name AS "cluster", v.node AS "node", v.namespace AS "namespace", v.name AS "name",
    v.labels AS "labels", s.reset_attempts AS "resetAttempts",
    s.max_attempts AS "maxResetAttempts", s.reset_pending AS "resetPending",
    {written_moment("s.last_attempt_at")} AS "lastReset",
    h.reason AS "holdReason", h.message AS "holdMessage",
    {written_moment("h.started_at")} AS "holdSince",
    z.reason IS NOT NULL AND (z.until IS NULL OR z.until > clock.now) AS "paused",
    z.reason AS "pausedReason", {written_moment("z.until")} AS "pausedUntil",
    {written_moment("v.tombstoned_at")} AS "removedAt",
    s.clone_since IS NOT NULL AS "cloneSuspected"
FROM vm v
JOIN vm_state s ON s.vm_id = v.id
JOIN vm_paused z ON z.vm_id = v.id
JOIN proxmox_cluster c ON c.id = v.cluster_id
LEFT JOIN hold h ON h.vm_id = v.id AND h.ended_at IS NULL
CROSS JOIN (SELECT defib_now() AS now) AS clock
"""
# In the order of the sorted rows below it, as nothing is read in parallel here.
SERIAL = text("SET LOCAL max_parallel_workers_per_gather = 0")
ALL = text(f"""
SELECT '[' || coalesce(string_agg(row_to_json(shown)::text, ','), '') || ']' AS body
FROM ({SHOWN} ORDER BY v.id) AS shown
""")
SOME = text(f"""
SELECT shown.id, row_to_json(shown)::text AS body
FROM ({SHOWN} WHERE v.id = ANY (CAST(:ids AS bigint[]))) AS shown
""")


async def all_rows(connection: AsyncConnection) -> bytes:
    """Write the whole fleet as one JSON array, oldest first."""
    await connection.execute(SERIAL)
    body: str = (await connection.execute(ALL)).scalar_one()
    return body.encode()


async def some_rows(connection: AsyncConnection, vm_ids: Sequence[int]) -> Mapping[int, bytes]:
    """Write these VMs as a JSON object each; those that are gone are left out."""
    rows = await connection.execute(SOME, {"ids": list(vm_ids)})
    return {int(row.id.removeprefix("vm_")): row.body.encode() for row in rows}
