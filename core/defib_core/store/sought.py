"""Machines that report by SMBIOS UUID alone, and that the operator looks for in Proxmox.

The API writes who is sought (registry.py); here is what the operator reads and answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

SOUGHT_FOR = timedelta(minutes=10)
"""A machine that has not asked for so long is not looked for any more."""
KEPT = timedelta(days=1)
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Sought:
    """A machine that nobody knows yet."""

    cluster_id: int
    smbios_uuid: str
    hostname: str


SOUGHT = text("""
SELECT cluster_id, smbios_uuid::text AS smbios_uuid, hostname FROM sought_machine
WHERE vmid IS NULL AND sought_at > :since ORDER BY sought_at DESC, smbios_uuid LIMIT :most
""")
FOUND = text("""
UPDATE sought_machine SET vmid = :vmid, found_at = :now
WHERE cluster_id = :cluster_id AND smbios_uuid = CAST(:smbios_uuid AS uuid) AND vmid IS NULL
""")
# What was found stands in `vm` as soon as the machine has reported.
FORGET = text("""
DELETE FROM sought_machine
WHERE sought_at < :before OR (vmid IS NULL AND sought_at < :since)
""")


async def sought(connection: AsyncConnection, now: datetime) -> Sequence[Sought]:
    """Read who is looked for now, the latest to ask first."""
    bound = {"since": now - SOUGHT_FOR, "most": AT_ONCE}
    return [Sought(**row._mapping) for row in await connection.execute(SOUGHT, bound)]


async def found(connection: AsyncConnection, one: Sought, vmid: int, now: datetime) -> None:
    """Keep which VM a machine is; its next report is taken."""
    bound = {
        "cluster_id": one.cluster_id,
        "smbios_uuid": one.smbios_uuid,
        "vmid": vmid,
        "now": now,
    }
    await connection.execute(FOUND, bound)


async def forget_old(connection: AsyncConnection, now: datetime) -> None:
    """Drop who has not asked for long: the table has room for so many a cluster only."""
    await connection.execute(FORGET, {"before": now - KEPT, "since": now - SOUGHT_FOR})
