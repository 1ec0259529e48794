"""Mirrors the custom resources into PostgreSQL, in batches, and takes them out again.

The mirror is level-triggered: the same object may be given any number of times, in any order.
States are locked before the VMs they belong to, in the order of their ids, as the heartbeat's
statement does, so that the two never deadlock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.config.resources import (
    PROXMOX_CLUSTER,
    SYSTEM_CONFIG,
    VIRTUAL_MACHINE,
    Resource,
)
from defib_core.config.system_config import SystemConfigSpec
from defib_core.store import controls
from defib_core.store.controls import Pause
from defib_core.store.windows import LEAVES_ONE


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """Which object of the Kubernetes API a row mirrors."""

    namespace: str
    name: str
    uid: str
    generation: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class VmObject:
    """A VirtualMachine as the database wants it. Overrides are None where the config's apply."""

    key: ObjectKey
    cluster: str
    config: str
    vmid: int
    hostname: str | None
    proxmox_name: str | None
    stale_timeout: timedelta | None
    cpu_threshold: float | None
    ram_threshold: float | None
    max_attempts: int | None
    enabled: bool
    steps: tuple[str, ...]
    paused_reason: str | None
    paused_until: datetime | None
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mirrored:
    """The object now stands for this VM."""

    vm_id: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """An older object stands for this VM already."""

    owner_namespace: str
    owner_name: str


@dataclass(frozen=True, slots=True)
class Displaced:
    """The object stands for this VM now, in the place of a younger one."""

    vm_id: int
    younger_namespace: str
    younger_name: str


PLACE = text("""
WITH c AS (
    INSERT INTO proxmox_cluster (namespace, name) VALUES (:namespace, :cluster)
    ON CONFLICT (namespace, name) DO NOTHING
)
INSERT INTO system_config (namespace, name, spec) VALUES (:namespace, :config, :default_spec)
ON CONFLICT (namespace, name) DO NOTHING
""")
IDS = text("""
SELECT c.id AS cluster_id, s.id AS config_id,
       s.observed_generation IS NULL AND s.name <> 'default' AS config_missing
FROM proxmox_cluster c, system_config s
WHERE c.namespace = :namespace AND c.name = :cluster
  AND s.namespace = :namespace AND s.name = :config
""")
# Neither waits for a lock while it holds one: with both rows there, the state can be locked first.
ENSURE_VM = text("""
INSERT INTO vm (cluster_id, vmid, hostname, registered_by, config_id)
VALUES (:cluster_id, :vmid, :name, 'manifest', :config_id)
ON CONFLICT (cluster_id, vmid) DO NOTHING
""")
LOCK_STATE = text("""
SELECT FROM vm_state s JOIN vm v ON v.id = s.vm_id
WHERE v.cluster_id = :cluster_id AND v.vmid = :vmid FOR UPDATE OF s
""")
OWNER = text("""
SELECT id, uid, namespace, name, object_created_at FROM vm
WHERE cluster_id = :cluster_id AND vmid = :vmid FOR UPDATE
""")
RELEASE_NAME = text("""
UPDATE vm SET uid = NULL, namespace = NULL, name = NULL, spec_hostname = NULL,
    tombstoned_at = :now
WHERE namespace = :namespace AND name = :name
  AND NOT (cluster_id = :cluster_id AND vmid = :vmid)
""")
ON_CONFLICT = """
ON CONFLICT (cluster_id, vmid) DO UPDATE SET
    hostname = coalesce(excluded.spec_hostname, vm.reported_hostname, excluded.name),
    spec_hostname = excluded.spec_hostname,
    namespace = excluded.namespace, name = excluded.name, uid = excluded.uid,
    generation = excluded.generation, object_created_at = excluded.object_created_at,
    config_id = excluded.config_id, proxmox_name = excluded.proxmox_name,
    stale_timeout_override = excluded.stale_timeout_override,
    cpu_threshold_override = excluded.cpu_threshold_override,
    ram_threshold_override = excluded.ram_threshold_override,
    remediation_enabled = excluded.remediation_enabled, steps = excluded.steps,
    max_attempts_override = excluded.max_attempts_override,
    paused_reason = excluded.paused_reason, paused_until = excluded.paused_until,
    labels = excluded.labels,
    managed_at = CASE WHEN vm.uid = excluded.uid THEN vm.managed_at ELSE :now END,
    tombstoned_at = NULL,
    rejected = CASE WHEN vm.rejected = 'NotQemu' THEN vm.rejected ELSE excluded.rejected END,
    rejected_message = CASE WHEN vm.rejected = 'NotQemu' THEN vm.rejected_message
                            ELSE excluded.rejected_message END
"""
UPSERT = text(f"""
INSERT INTO vm (cluster_id, vmid, hostname, spec_hostname, registered_by, namespace, name, uid,
    generation, object_created_at, config_id, proxmox_name, stale_timeout_override,
    cpu_threshold_override, ram_threshold_override, remediation_enabled, steps,
    max_attempts_override, paused_reason, paused_until, labels, managed_at, rejected,
    rejected_message)
VALUES (:cluster_id, :vmid, coalesce(CAST(:hostname AS text), :name), :hostname, 'manifest',
    :namespace, :name, :uid, :generation, :created_at, :config_id, :proxmox_name, :stale_timeout,
    :cpu_threshold, :ram_threshold, :enabled, CAST(:steps AS text[]), :max_attempts, :paused_reason,
    :paused_until, :labels, :now, :rejected, :rejected_message)
{ON_CONFLICT}
RETURNING id
""").bindparams(bindparam("labels", type_=JSONB))
BEFORE = text(f"""
SELECT v.paused_reason, v.paused_until,
    v.paused_reason IS NOT NULL AND (v.paused_until IS NULL OR v.paused_until > :now)
        AND (CAST(:paused_reason AS text) IS NULL OR CAST(:paused_until AS timestamptz) <= :now)
    OR {LEAVES_ONE} AS let_go
FROM vm v WHERE v.cluster_id = :cluster_id AND v.vmid = :vmid
""").bindparams(bindparam("labels", type_=JSONB))
ENSURE = """
INSERT INTO vm_state (vm_id, config_id, stale_timeout, cpu_threshold, ram_threshold, max_attempts,
                      clock_floor, state_since)
SELECT e.vm_id, e.config_id, e.stale_timeout, e.cpu_threshold, e.ram_threshold, e.max_attempts,
       :now, :now
FROM vm_effective e WHERE {which}
ON CONFLICT (vm_id) DO NOTHING
"""
THIS_VM = "e.vm_id = (SELECT v.id FROM vm v WHERE v.cluster_id = :cluster_id AND v.vmid = :vmid)"
ENSURE_STATE = text(ENSURE.format(which=THIS_VM))
REFRESH = """
WITH e AS (
    SELECT e.* FROM vm_state s JOIN vm_effective e ON e.vm_id = s.vm_id
    WHERE {which}
      AND (s.config_id, s.stale_timeout, s.cpu_threshold, s.ram_threshold, s.max_attempts)
          IS DISTINCT FROM
          (e.config_id, e.stale_timeout, e.cpu_threshold, e.ram_threshold, e.max_attempts)
    ORDER BY s.vm_id
    FOR UPDATE OF s
)
UPDATE vm_state s SET
    config_id = e.config_id, stale_timeout = e.stale_timeout, cpu_threshold = e.cpu_threshold,
    ram_threshold = e.ram_threshold, max_attempts = e.max_attempts,
    clock_floor = CASE WHEN s.stale_timeout <> e.stale_timeout THEN :now ELSE s.clock_floor END
FROM e WHERE e.vm_id = s.vm_id
"""
REFRESH_VM = text(REFRESH.format(which="s.vm_id = :vm_id"))
REFRESH_CONFIG = text(REFRESH.format(which="e.config_id = :config_id"))
RESTART_CLOCK = text("""
UPDATE vm_state s SET clock_floor = :now FROM vm v
WHERE v.id = s.vm_id AND s.vm_id = :vm_id AND (:let_go OR v.managed_at = :now)
""")
QUEUE_STATUS = text("INSERT INTO status_outbox (vm_id) VALUES (:vm_id)")

TOMBSTONE = text("""
UPDATE vm SET uid = NULL, namespace = NULL, name = NULL, spec_hostname = NULL,
    tombstoned_at = :now, paused_reason = NULL, paused_until = NULL
WHERE uid = ANY (CAST(:uids AS text[]))
RETURNING id
""")
END_HOLDS = text("""
UPDATE hold SET ended_at = greatest(:now, started_at)
WHERE vm_id = ANY (CAST(:vm_ids AS bigint[])) AND ended_at IS NULL
""")
KNOWN_UIDS = """
SELECT uid FROM {table} WHERE uid IS NOT NULL
  AND (CAST(:namespace AS text) IS NULL OR namespace = :namespace)
"""
TABLES = {VIRTUAL_MACHINE: "vm", SYSTEM_CONFIG: "system_config", PROXMOX_CLUSTER: "proxmox_cluster"}
CONFIG_OF = text("""
SELECT c.spec FROM system_config c JOIN vm v ON v.config_id = c.id WHERE v.id = :vm_id
""")
REJECT_VM = text("""
WITH rejected AS (
    UPDATE vm SET rejected = 'InvalidSpec', rejected_message = :message, generation = :generation
    WHERE uid = :uid
    RETURNING id
)
INSERT INTO status_outbox (vm_id) SELECT id FROM rejected RETURNING vm_id
""")
OVERRIDING = text("""
SELECT v.namespace, v.name FROM vm v JOIN system_config c ON c.id = v.config_id
WHERE c.namespace = :namespace AND c.name = :name
  AND v.uid IS NOT NULL AND v.stale_timeout_override IS NOT NULL
""")


async def mirror_vm(
    connection: AsyncConnection, given: VmObject, now: datetime
) -> Mirrored | Conflict | Displaced:
    """Put one VirtualMachine in force, unless an older object stands for the same VM."""
    ids = await find_place(connection, given.key.namespace, given.cluster, given.config)
    place = {"cluster_id": ids.cluster_id, "vmid": given.vmid}
    new = {**place, "name": given.key.name, "config_id": ids.config_id}
    await connection.execute(ENSURE_VM, new)
    await connection.execute(ENSURE_STATE, {**place, "now": now})
    await connection.execute(LOCK_STATE, place)
    owner = (await connection.execute(OWNER, place)).one_or_none()
    younger = None
    if owner is not None and _is_another(owner, given.key):
        if (owner.object_created_at, owner.uid) < (given.key.created_at, given.key.uid):
            return Conflict(owner.namespace, owner.name)
        younger = owner
    vm_id = await _put(connection, given, ids, now)
    if younger is None:
        return Mirrored(vm_id)
    return Displaced(vm_id, younger.namespace, younger.name)


def _is_another(owner: Row[Any], key: ObjectKey) -> bool:
    """True where another living object owns the VM. The same name again is the same object anew."""
    if owner.uid is None or owner.uid == key.uid:
        return False
    return (owner.namespace, owner.name) != (key.namespace, key.name)


@dataclass(frozen=True, slots=True)
class Place:
    """The rows that a VirtualMachine's references name, made where they are missing."""

    cluster_id: int
    config_id: int
    config_missing: bool


async def find_place(
    connection: AsyncConnection, namespace: str, cluster: str, config: str
) -> Place:
    """Find, or make, the cluster and the SystemConfig that objects of a namespace refer to."""
    names = {"namespace": namespace, "cluster": cluster, "config": config}
    default_spec = SystemConfigSpec().model_dump_json(by_alias=True)
    await connection.execute(PLACE, {**names, "default_spec": default_spec})
    return Place(**(await connection.execute(IDS, names)).one()._mapping)


async def _put(connection: AsyncConnection, given: VmObject, ids: Place, now: datetime) -> int:
    key = given.key
    place = {"cluster_id": ids.cluster_id, "vmid": given.vmid, "now": now}
    columns = {**_columns(given), "config_id": ids.config_id}
    before = (await connection.execute(BEFORE, {**place, **columns})).one_or_none()
    await connection.execute(RELEASE_NAME, {**place, "namespace": key.namespace, "name": key.name})
    missing = ids.config_missing
    written = await connection.execute(
        UPSERT,
        {
            **place,
            **columns,
            "rejected": "ConfigNotFound" if missing else None,
            "rejected_message": f"there is no SystemConfig {given.config}" if missing else None,
        },
    )
    vm_id = int(written.scalar_one())
    await connection.execute(REFRESH_VM, {"vm_id": vm_id, "now": now})
    restart = {"vm_id": vm_id, "now": now, "let_go": before is not None and before.let_go}
    await connection.execute(RESTART_CLOCK, restart)
    was = _pause(before.paused_reason, before.paused_until) if before is not None else None
    asked = _pause(given.paused_reason, given.paused_until)
    await controls.follow_spec_pause(connection, vm_id, was, asked, now)
    await connection.execute(QUEUE_STATUS, {"vm_id": vm_id})
    return vm_id


def _pause(reason: str | None, until: datetime | None) -> Pause | None:
    return None if reason is None else Pause(reason, until)


def _columns(given: VmObject) -> dict[str, Any]:
    key = given.key
    return {
        "namespace": key.namespace,
        "name": key.name,
        "uid": key.uid,
        "generation": key.generation,
        "created_at": key.created_at,
        "hostname": given.hostname,
        "proxmox_name": given.proxmox_name,
        "stale_timeout": given.stale_timeout,
        "cpu_threshold": given.cpu_threshold,
        "ram_threshold": given.ram_threshold,
        "enabled": given.enabled,
        "steps": list(given.steps),
        "max_attempts": given.max_attempts,
        "paused_reason": given.paused_reason,
        "paused_until": given.paused_until,
        "labels": dict(given.labels),
    }


async def tombstone(connection: AsyncConnection, uids: Sequence[str], now: datetime) -> list[int]:
    """Take deleted objects out: their VMs are watched, but not recreated and never reset."""
    rows = await connection.execute(TOMBSTONE, {"uids": list(uids), "now": now})
    vm_ids = [int(row.id) for row in rows]
    await connection.execute(END_HOLDS, {"vm_ids": vm_ids, "now": now})
    return vm_ids


async def known_uids(
    connection: AsyncConnection, resource: Resource, namespace: str | None
) -> set[str]:
    """Read the uids of all mirrored objects of a kind, of one namespace or of all."""
    statement = text(KNOWN_UIDS.format(table=TABLES[resource]))
    return {row.uid for row in await connection.execute(statement, {"namespace": namespace})}


async def config_of(connection: AsyncConnection, vm_id: int) -> Mapping[str, Any]:
    """Read the spec of the SystemConfig that applies to a VM."""
    spec: Mapping[str, Any] = (await connection.execute(CONFIG_OF, {"vm_id": vm_id})).scalar_one()
    return spec


async def reject_vm(connection: AsyncConnection, uid: str, generation: int, message: str) -> bool:
    """A mirrored VirtualMachine has become invalid: its VM is watched, and not reset.

    False where the object is not mirrored.
    """
    bound = {"uid": uid, "generation": generation, "message": message}
    return (await connection.execute(REJECT_VM, bound)).first() is not None


async def overriding(
    connection: AsyncConnection, namespace: str, name: str
) -> list[tuple[str, str]]:
    """Name the objects under a SystemConfig that have a stale timeout of their own."""
    rows = await connection.execute(OVERRIDING, {"namespace": namespace, "name": name})
    return [(row.namespace, row.name) for row in rows]


UPSERT_CONFIG = text("""
INSERT INTO system_config (namespace, name, uid, generation, observed_generation, spec,
                           changed_at)
VALUES (:namespace, :name, :uid, :generation, :generation, :spec, :now)
ON CONFLICT (namespace, name) DO UPDATE SET
    uid = excluded.uid, generation = excluded.generation,
    observed_generation = excluded.observed_generation, spec = excluded.spec, invalid = NULL,
    changed_at = CASE WHEN system_config.spec = excluded.spec THEN system_config.changed_at
                      ELSE :now END
RETURNING id
""")
INVALID_CONFIG = text("""
INSERT INTO system_config (namespace, name, uid, generation, spec, invalid)
VALUES (:namespace, :name, :uid, :generation, :default_spec, :invalid)
ON CONFLICT (namespace, name) DO UPDATE SET
    uid = excluded.uid, generation = excluded.generation, invalid = excluded.invalid
""")
DELETE_CONFIG = text("UPDATE system_config SET uid = NULL WHERE uid = :uid")
ACCEPT_VMS = text("""
WITH accepted AS (
    UPDATE vm SET rejected = NULL, rejected_message = NULL
    WHERE config_id = :config_id AND rejected = 'ConfigNotFound'
    RETURNING id
)
INSERT INTO status_outbox (vm_id) SELECT id FROM accepted
""")
# What a status says of remediation comes from the spec too.
QUEUE_FLEET = text("""
INSERT INTO status_outbox (vm_id)
SELECT v.id FROM vm v JOIN system_config c ON c.id = v.config_id
WHERE v.config_id = :config_id AND v.uid IS NOT NULL AND c.changed_at = :now
""")
VMS_OF_CONFIG = text(
    "SELECT count(*) FROM vm WHERE config_id = :config_id AND tombstoned_at IS NULL"
)


async def mirror_config(
    connection: AsyncConnection, key: ObjectKey, spec: SystemConfigSpec, now: datetime
) -> int:
    """Put a valid SystemConfig in force for its VMs; return how many those are.

    A changed stale timeout restarts the clock of every VM it applies to.
    """
    written = await connection.execute(
        UPSERT_CONFIG,
        {**_key(key), "spec": spec.model_dump_json(by_alias=True), "now": now},
    )
    config_id = int(written.scalar_one())
    await controls.follow_config(connection, config_id, spec, now)
    await connection.execute(REFRESH_CONFIG, {"config_id": config_id, "now": now})
    await connection.execute(ACCEPT_VMS, {"config_id": config_id})
    await connection.execute(QUEUE_FLEET, {"config_id": config_id, "now": now})
    return int((await connection.execute(VMS_OF_CONFIG, {"config_id": config_id})).scalar_one())


async def mirror_invalid_config(connection: AsyncConnection, key: ObjectKey, why: str) -> None:
    """Note that a SystemConfig cannot be put in force; the last good one stays."""
    default_spec = SystemConfigSpec().model_dump_json(by_alias=True)
    await connection.execute(
        INVALID_CONFIG, {**_key(key), "default_spec": default_spec, "invalid": why}
    )


async def forget_config(connection: AsyncConnection, uid: str) -> None:
    """A deleted SystemConfig leaves its last good spec in force."""
    await connection.execute(DELETE_CONFIG, {"uid": uid})


UPSERT_CLUSTER = text("""
WITH queued AS (
    INSERT INTO status_outbox (vm_id)
    SELECT v.id FROM vm v JOIN proxmox_cluster c ON c.id = v.cluster_id
    WHERE c.namespace = :namespace AND c.name = :name AND c.spec IS NULL AND v.uid IS NOT NULL
)
INSERT INTO proxmox_cluster (namespace, name, uid, generation, spec, invalid)
VALUES (:namespace, :name, :uid, :generation, :spec, :invalid)
ON CONFLICT (namespace, name) DO UPDATE SET
    uid = excluded.uid, generation = excluded.generation, invalid = excluded.invalid,
    spec = CASE WHEN excluded.invalid IS NULL THEN excluded.spec ELSE proxmox_cluster.spec END
RETURNING id
""").bindparams(bindparam("spec", type_=JSONB(none_as_null=True)))
DELETE_CLUSTER = text("""
WITH deleted AS (
    UPDATE proxmox_cluster SET uid = NULL, spec = NULL, reachable = NULL WHERE uid = :uid
    RETURNING id
),
queued AS (
    INSERT INTO status_outbox (vm_id)
    SELECT v.id FROM vm v JOIN deleted ON deleted.id = v.cluster_id WHERE v.uid IS NOT NULL
)
SELECT id FROM deleted
""")


async def mirror_cluster(
    connection: AsyncConnection, key: ObjectKey, spec: Mapping[str, Any] | None, invalid: str | None
) -> int:
    """Put a ProxmoxCluster in force, or note why it cannot be; return its id."""
    written = await connection.execute(
        UPSERT_CLUSTER, {**_key(key), "spec": spec, "invalid": invalid}
    )
    return int(written.scalar_one())


async def forget_cluster(connection: AsyncConnection, uid: str) -> int | None:
    """Take a deleted ProxmoxCluster out; its VMs are watched, and held as unreachable."""
    found = (await connection.execute(DELETE_CLUSTER, {"uid": uid})).scalar_one_or_none()
    return None if found is None else int(found)


def _key(key: ObjectKey) -> dict[str, Any]:
    return {
        "namespace": key.namespace,
        "name": key.name,
        "uid": key.uid,
        "generation": key.generation,
    }
