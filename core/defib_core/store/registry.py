"""Finds or creates the VM a report speaks of, and keeps what reports say of who it is."""

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.config.system_config import SystemConfigSpec
from defib_core.store.clones import turned_uuid


class ReportedIdentity(msgspec.Struct, frozen=True, gc=False):
    """Who a report says it is from. `cluster_id` comes from the key, never from the report.

    The API holds one for each VM of the fleet, and the garbage collector need not look at them.
    """

    cluster_id: int
    vmid: int
    hostname: str
    node: str | None
    smbios_uuid: str | None
    agent_version: str | None


class NotRegistrable(Exception):
    """The key's cluster is gone, or its namespace has no SystemConfig named default."""


ENSURE_DEFAULTS = text("""
WITH c AS (
    INSERT INTO proxmox_cluster (namespace, name) VALUES (:namespace, 'default')
    ON CONFLICT (namespace, name) DO NOTHING
)
INSERT INTO system_config (namespace, name, spec) VALUES (:namespace, 'default', :spec)
ON CONFLICT (namespace, name) DO NOTHING
""")

# State before VM, as everybody locks them. Who reports as another machine than before, by its
# UUID, or by its name where it tells none, has to send the reports that arm a VM anew.
DISARM = text("""
WITH other AS (
    SELECT s.vm_id FROM vm_state s JOIN vm v ON v.id = s.vm_id
    WHERE v.cluster_id = :cluster_id AND v.vmid = :vmid
      AND CASE WHEN CAST(:smbios_uuid AS uuid) IS NOT NULL AND v.smbios_uuid IS NOT NULL
               THEN CAST(:smbios_uuid AS uuid) <> v.smbios_uuid
               ELSE v.reported_hostname <> :hostname END
    FOR UPDATE OF s
)
UPDATE vm_state s SET reports = 0 FROM other WHERE s.vm_id = other.vm_id
""")

FIND_OR_CREATE = text("""
INSERT INTO vm (cluster_id, vmid, hostname, reported_hostname, node, smbios_uuid, agent_version,
                registered_by, config_id)
SELECT c.id, :vmid, :hostname, :hostname, :node, :smbios_uuid, :agent_version, 'agent', s.id
FROM proxmox_cluster c
JOIN system_config s ON s.namespace = c.namespace AND s.name = 'default'
WHERE c.id = :cluster_id
ON CONFLICT (cluster_id, vmid) DO UPDATE SET
    -- Of two machines behind one VM neither renames it.
    hostname = CASE WHEN EXISTS (SELECT FROM vm_state s
                                 WHERE s.vm_id = vm.id AND s.clone_since IS NOT NULL)
        THEN vm.hostname ELSE coalesce(vm.spec_hostname, excluded.hostname) END,
    reported_hostname = excluded.reported_hostname,
    node = coalesce(excluded.node, vm.node),
    smbios_uuid = coalesce(excluded.smbios_uuid, vm.smbios_uuid),
    agent_version = coalesce(excluded.agent_version, vm.agent_version)
RETURNING id
""")

ENSURE_STATE = text("""
INSERT INTO vm_state (vm_id, config_id, stale_timeout, cpu_threshold, ram_threshold, max_attempts)
SELECT v.id, v.config_id, e.stale_timeout, e.cpu_threshold, e.ram_threshold, e.max_attempts
FROM vm v JOIN vm_effective e ON e.vm_id = v.id
WHERE v.id = :vm_id
ON CONFLICT (vm_id) DO NOTHING
""")

ALL_IDENTITIES = text("""
SELECT v.id, v.cluster_id, v.vmid, coalesce(v.reported_hostname, v.hostname) AS hostname, v.node,
    v.smbios_uuid::text, v.agent_version
FROM vm v JOIN vm_state s ON s.vm_id = v.id
""")

# What firmware turns around is held to Proxmox's UUID only: a guest's own word, turned, is none.
FIND_BY_UUID = text(f"""
WITH said AS MATERIALIZED (
    SELECT CAST(:smbios_uuid AS uuid) AS uuid,
           {turned_uuid("CAST(:smbios_uuid AS uuid)")} AS turned
),
known AS (
    SELECT vmid FROM vm, said
    WHERE cluster_id = :cluster_id
      AND (coalesce(pinned_uuid, smbios_uuid) = said.uuid OR pinned_uuid = said.turned)
    ORDER BY tombstoned_at IS NOT NULL, id LIMIT 2
)
SELECT vmid FROM known
UNION ALL
SELECT vmid FROM sought_machine
WHERE cluster_id = :cluster_id AND smbios_uuid = CAST(:smbios_uuid AS uuid)
  AND vmid IS NOT NULL AND NOT EXISTS (SELECT FROM known)
""")

SOUGHT_MOST = 1_000
"""Machines of a cluster that are looked for at a time: one key must not fill the table."""
SEEK = text("""
INSERT INTO sought_machine (cluster_id, smbios_uuid, hostname, sought_at)
SELECT :cluster_id, CAST(:smbios_uuid AS uuid), :hostname, defib_now()
WHERE (SELECT count(*) FROM sought_machine WHERE cluster_id = :cluster_id AND vmid IS NULL) < :most
ON CONFLICT (cluster_id, smbios_uuid) DO UPDATE
SET sought_at = excluded.sought_at, hostname = excluded.hostname
""")


SHORTEST_INTERVAL = text("""
SELECT min(CAST(spec ->> 'reportIntervalSeconds' AS float8)) FROM system_config
""")


async def shortest_report_interval(connection: AsyncConnection) -> float | None:
    """The shortest interval in seconds that any SystemConfig asks of its agents."""
    found: float | None = (await connection.execute(SHORTEST_INTERVAL)).scalar_one()
    return found


async def ensure_defaults(connection: AsyncConnection, namespace: str) -> None:
    """Make sure the default cluster and SystemConfig exist, as a report needs both."""
    spec = SystemConfigSpec().model_dump_json(by_alias=True)
    await connection.execute(ENSURE_DEFAULTS, {"namespace": namespace, "spec": spec})


async def find_or_create(connection: AsyncConnection, identity: ReportedIdentity) -> int:
    """Return the id of the VM, which is created if it is new; keep what the report adds.

    A hostname given by a spec stays; otherwise the guest's own word counts. Another machine than
    before has to arm the VM anew. Raises NotRegistrable.
    """
    said = {
        "cluster_id": identity.cluster_id,
        "vmid": identity.vmid,
        "hostname": identity.hostname,
        "node": identity.node,
        "smbios_uuid": identity.smbios_uuid,
        "agent_version": identity.agent_version,
    }
    await connection.execute(DISARM, said)
    found = await connection.execute(FIND_OR_CREATE, said)
    vm_id = found.scalar_one_or_none()
    if vm_id is None:
        raise NotRegistrable(f"no cluster {identity.cluster_id}, or no SystemConfig default for it")
    await connection.execute(ENSURE_STATE, {"vm_id": vm_id})
    return int(vm_id)


async def all_identities(connection: AsyncConnection) -> list[tuple[int, ReportedIdentity]]:
    """Read all VMs that reports can be stored for, with their ids."""
    return [
        (
            row.id,
            ReportedIdentity(
                cluster_id=row.cluster_id,
                vmid=row.vmid,
                hostname=row.hostname,
                node=row.node,
                smbios_uuid=row.smbios_uuid,
                agent_version=row.agent_version,
            ),
        )
        for row in await connection.execute(ALL_IDENTITIES)
    ]


async def vmids_of_uuid(connection: AsyncConnection, cluster_id: int, uuid: str) -> tuple[int, ...]:
    """Find the VMs of the cluster with this SMBIOS UUID; of more than two, two."""
    bound = {"cluster_id": cluster_id, "smbios_uuid": uuid}
    return tuple(row.vmid for row in await connection.execute(FIND_BY_UUID, bound))


async def seek(connection: AsyncConnection, cluster_id: int, uuid: str, hostname: str) -> None:
    """Ask the operator to find the VM with this SMBIOS UUID in Proxmox."""
    bound = {
        "cluster_id": cluster_id,
        "smbios_uuid": uuid,
        "hostname": hostname,
        "most": SOUGHT_MOST,
    }
    await connection.execute(SEEK, bound)
