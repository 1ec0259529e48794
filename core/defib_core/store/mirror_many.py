"""Mirrors many VirtualMachines with a few statements; the ordinary ones, and only these.

An object is ordinary where it stands for its VM alone, takes nothing over, and says nothing of
pauses or timeouts of its own. What it means is written in mirror.py, which takes all others one by
one; here the same is said of many. States are locked before VMs, as everywhere: a new VM and its
state are made first, in the order in which they are locked, and then they are like any other.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.mirror import (
    ENSURE,
    ON_CONFLICT,
    REFRESH,
    Place,
    VmObject,
    find_place,
)

GIVEN = """
given AS (
    SELECT * FROM jsonb_to_recordset(:given) AS g(
        cluster_id int, vmid int, config_id int, namespace text, name text, uid text,
        generation bigint, created_at timestamptz, hostname text, proxmox_name text,
        cpu_threshold real, ram_threshold real, enabled bool, steps text[], max_attempts int,
        labels jsonb)
)
"""
AT_PLACE = "v.cluster_id = g.cluster_id AND v.vmid = g.vmid"
SAME = f"""
WITH {GIVEN}
SELECT g.uid FROM given g JOIN vm v ON {AT_PLACE}
WHERE v.uid = g.uid AND v.rejected IS NULL AND v.tombstoned_at IS NULL
  AND v.stale_timeout_override IS NULL AND v.paused_reason IS NULL AND v.paused_until IS NULL
  AND (v.config_id, v.namespace, v.name, v.generation, v.object_created_at, v.spec_hostname,
       v.proxmox_name, v.cpu_threshold_override, v.ram_threshold_override, v.remediation_enabled,
       v.steps, v.max_attempts_override, v.labels)
      IS NOT DISTINCT FROM
      (g.config_id, g.namespace, g.name, g.generation, g.created_at, g.hostname,
       g.proxmox_name, g.cpu_threshold, g.ram_threshold, g.enabled,
       g.steps, g.max_attempts, g.labels)
"""
# Neither waits for a lock while it holds one of a VM that others know; see mirror.py.
ENSURE_VMS = f"""
WITH {GIVEN}
INSERT INTO vm (cluster_id, vmid, hostname, registered_by, config_id)
SELECT g.cluster_id, g.vmid, g.name, 'manifest', g.config_id FROM given g
ORDER BY g.cluster_id, g.vmid
ON CONFLICT (cluster_id, vmid) DO NOTHING
RETURNING id
"""
ENSURE_STATES = f"""
WITH {GIVEN}
{ENSURE.format(which=f"e.vm_id IN (SELECT v.id FROM given g JOIN vm v ON {AT_PLACE})")}
"""
LOCK_STATES = f"""
WITH {GIVEN}
SELECT s.vm_id FROM given g JOIN vm v ON {AT_PLACE} JOIN vm_state s ON s.vm_id = v.id
ORDER BY s.vm_id FOR UPDATE OF s
"""
LOCK_VMS = f"""
WITH {GIVEN}
SELECT v.id FROM given g JOIN vm v ON {AT_PLACE} ORDER BY v.id FOR UPDATE OF v
"""
ORDINARY = f"""
WITH {GIVEN}
SELECT g.uid FROM given g JOIN vm v ON {AT_PLACE}
WHERE (v.id = ANY (CAST(:new AS bigint[]))
       OR (v.uid IS NULL OR v.uid = g.uid) AND v.paused_reason IS NULL
          AND NOT EXISTS (SELECT FROM maintenance WHERE closed_at IS NULL))
  AND NOT EXISTS (SELECT FROM vm o WHERE o.namespace = g.namespace AND o.name = g.name
                  AND (o.cluster_id, o.vmid) <> (g.cluster_id, g.vmid))
"""
UPSERT = f"""
WITH {GIVEN}
INSERT INTO vm (cluster_id, vmid, hostname, spec_hostname, registered_by, namespace, name, uid,
    generation, object_created_at, config_id, proxmox_name, cpu_threshold_override,
    ram_threshold_override, remediation_enabled, steps, max_attempts_override, labels, managed_at)
SELECT g.cluster_id, g.vmid, coalesce(g.hostname, g.name), g.hostname, 'manifest', g.namespace,
    g.name, g.uid, g.generation, g.created_at, g.config_id, g.proxmox_name, g.cpu_threshold,
    g.ram_threshold, g.enabled, g.steps, g.max_attempts, g.labels, :now
FROM given g
ORDER BY g.cluster_id, g.vmid
{ON_CONFLICT}
RETURNING id
"""


def _of_many(sql: str) -> TextClause:
    return text(sql).bindparams(bindparam("given", type_=JSONB))


SAME_ONES, ORDINARY_ONES, UPSERT_ALL = map(_of_many, (SAME, ORDINARY, UPSERT))
ENSURE_VMS_OF, ENSURE_STATES_OF = map(_of_many, (ENSURE_VMS, ENSURE_STATES))
LOCK_STATES_OF, LOCK_VMS_OF = map(_of_many, (LOCK_STATES, LOCK_VMS))
AMONG = "= ANY (CAST(:vm_ids AS bigint[]))"
REFRESH_VMS = text(REFRESH.format(which=f"s.vm_id {AMONG}"))
RESTART_CLOCKS = text(f"""
UPDATE vm_state s SET clock_floor = :now FROM vm v
WHERE v.id = s.vm_id AND s.vm_id {AMONG} AND v.managed_at = :now
""")
QUEUE_STATUSES = text("INSERT INTO status_outbox (vm_id) SELECT unnest(CAST(:vm_ids AS bigint[]))")


@dataclass(frozen=True, slots=True)
class MirroredMany:
    """What became of many objects, by their uids."""

    same: frozenset[str]
    """Mirrored before, just as they are."""
    put: frozenset[str]
    """Put in force now."""
    left: frozenset[str]
    """Not ordinary: to be mirrored one by one."""


async def mirror_ordinary(
    connection: AsyncConnection, given: Sequence[VmObject], now: datetime
) -> MirroredMany:
    """Put the ordinary ones of many VirtualMachines in force, and name the others."""
    every = frozenset(one.key.uid for one in given)
    rows = await _rows(connection, given)
    same = await _uids(connection, SAME_ONES, rows)
    new = [row for row in rows if row["uid"] not in same]
    put = await _put(connection, new, now) if new else frozenset()
    return MirroredMany(same, put, every - same - put)


async def _rows(connection: AsyncConnection, given: Sequence[VmObject]) -> list[dict[str, Any]]:
    """Say what the statements need of each object that may be ordinary."""
    places: dict[tuple[str, str, str], Place] = {}
    found = []
    for one in given:
        names = (one.key.namespace, one.cluster, one.config)
        if names not in places:
            places[names] = await find_place(connection, *names)
        if one.paused_reason is None and one.stale_timeout is None:
            place = places[names]
            if not place.config_missing:
                found.append(_row(one, place))
    spots = Counter((row["cluster_id"], row["vmid"]) for row in found)
    return [row for row in found if spots[row["cluster_id"], row["vmid"]] == 1]


def _row(one: VmObject, place: Place) -> dict[str, Any]:
    key = one.key
    return {
        "cluster_id": place.cluster_id,
        "vmid": one.vmid,
        "config_id": place.config_id,
        "namespace": key.namespace,
        "name": key.name,
        "uid": key.uid,
        "generation": key.generation,
        "created_at": key.created_at.isoformat(),
        "hostname": one.hostname,
        "proxmox_name": one.proxmox_name,
        "cpu_threshold": one.cpu_threshold,
        "ram_threshold": one.ram_threshold,
        "enabled": one.enabled,
        "steps": list(one.steps),
        "max_attempts": one.max_attempts,
        "labels": dict(one.labels),
    }


async def _put(
    connection: AsyncConnection, rows: Sequence[Mapping[str, Any]], now: datetime
) -> frozenset[str]:
    given = {"given": rows, "now": now}
    new = [int(row.id) for row in await connection.execute(ENSURE_VMS_OF, given)]
    for statement in (ENSURE_STATES_OF, LOCK_STATES_OF, LOCK_VMS_OF):
        await connection.execute(statement, given)
    ordinary = await _uids(connection, ORDINARY_ONES, rows, new=new)
    taken = [row for row in rows if row["uid"] in ordinary]
    if not taken:
        return frozenset()
    written = await connection.execute(UPSERT_ALL, {"given": taken, "now": now})
    bound = {"vm_ids": sorted(int(row.id) for row in written), "now": now}
    for statement in (REFRESH_VMS, RESTART_CLOCKS, QUEUE_STATUSES):
        await connection.execute(statement, bound)
    return ordinary


async def _uids(
    connection: AsyncConnection,
    statement: TextClause,
    rows: Sequence[Mapping[str, Any]],
    **bound: object,
) -> frozenset[str]:
    if not rows:
        return frozenset()
    found = await connection.execute(statement, {"given": rows, **bound})
    return frozenset(row.uid for row in found)
