"""Reports that were refused or shed, as signs of life: their VMs are alive, though not heard.

Only for VMs that exist, and only by keys that Defib made: anybody else could keep a dead VM from
its reset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.clones import turned_uuid

EVERY = timedelta(seconds=10)
"""At most one write for a VM in this time, whatever it sends."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A report that was refused or shed: of which VM, why, and how long ago."""

    cluster_id: int
    vmid: int | None
    smbios_uuid: str | None
    """Says which VM where the report has no vmid; where it has, it must not contradict the pin."""
    reason: str
    age: timedelta


@dataclass(frozen=True, slots=True)
class Retired:
    """Whose a revoked or expired key was; of a shared key neither VMID nor UUID is known."""

    cluster_id: int
    vmid: int | None
    """None, too, for a machine that was known by its UUID alone."""
    smbios_uuid: str | None = None


ONE = text("""
INSERT INTO report_rejection (vm_id, at, reason) VALUES (:vm_id, :now, :reason)
ON CONFLICT (vm_id) DO UPDATE SET at = excluded.at, reason = excluded.reason
""")
# Where a UUID and its turned form are two VMs', one of them is alive: neither is reset meanwhile.
MANY = text(f"""
WITH r AS MATERIALIZED (
    SELECT said.*, {turned_uuid("said.uuid")} AS turned
    FROM unnest(
        CAST(:clusters AS int[]), CAST(:vmids AS int[]), CAST(:uuids AS uuid[]),
        CAST(:reasons AS text[]), CAST(:ages AS interval[])
    ) AS said(cluster_id, vmid, uuid, reason, age)
)
INSERT INTO report_rejection (vm_id, at, reason)
SELECT DISTINCT ON (v.id) v.id, :now - r.age, r.reason
FROM r
JOIN vm v ON v.cluster_id = r.cluster_id
    AND ((v.vmid = r.vmid AND (r.uuid IS NULL OR v.pinned_uuid IS NULL
                               OR v.pinned_uuid IN (r.uuid, r.turned)))
         OR (r.vmid IS NULL AND (coalesce(v.pinned_uuid, v.smbios_uuid) = r.uuid
                                 OR v.pinned_uuid = r.turned)))
ORDER BY v.id, r.age
ON CONFLICT (vm_id) DO UPDATE SET at = excluded.at, reason = excluded.reason
WHERE report_rejection.at <= excluded.at - CAST(:every AS interval)
   OR report_rejection.at > :now
""")
RETIRED = text("""
SELECT sha256, cluster_id, NULL::int AS vmid, NULL AS smbios_uuid FROM api_token
WHERE kind = 'agent' AND (revoked_at IS NOT NULL OR expires_at <= defib_now())
UNION ALL
SELECT t.sha256, t.cluster_id, v.vmid, t.smbios_uuid::text
FROM agent_token t LEFT JOIN vm v ON v.id = t.vm_id
WHERE t.revoked_at IS NOT NULL OR t.expires_at <= defib_now()
""")


async def record_rejection(
    connection: AsyncConnection, vm_id: int, reason: str, now: datetime
) -> None:
    """Note that a report of this VM was refused or shed: it is alive, though it is not heard."""
    await connection.execute(ONE, {"vm_id": vm_id, "reason": reason, "now": now})


async def record_rejections(
    connection: AsyncConnection, rejected: Sequence[Rejection], now: datetime
) -> None:
    """Note what gathered. VMs that do not exist are passed over; none is created."""
    bound = {
        "clusters": [one.cluster_id for one in rejected],
        "vmids": [one.vmid for one in rejected],
        "uuids": [one.smbios_uuid for one in rejected],
        "reasons": [one.reason for one in rejected],
        "ages": [one.age for one in rejected],
        "every": EVERY,
        "now": now,
    }
    await connection.execute(MANY, bound)


async def retired_agent_keys(connection: AsyncConnection) -> Mapping[bytes, Retired]:
    """Read the digests of agents' keys that were revoked or have expired, and whose they were."""
    rows = await connection.execute(RETIRED)
    return {bytes(row.sha256): Retired(row.cluster_id, row.vmid, row.smbios_uuid) for row in rows}
