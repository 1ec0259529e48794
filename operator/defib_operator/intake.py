"""Takes custom resources in: parses them, mirrors them into PostgreSQL, refuses what is wrong.

Level-triggered: each object is taken as it is now, however often it comes. Only the leader mirrors,
so that two replicas never write different ages of one object; a new leader lists everything anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from defib_core.config.base import InvalidSpec
from defib_core.config.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    ReadyReason,
    merge_condition,
)
from defib_core.config.proxmox_cluster import parse_proxmox_cluster
from defib_core.config.resources import (
    PROXMOX_CLUSTER,
    RESET_REASON_ANNOTATION,
    RESET_REQUESTED_ANNOTATION,
    SYSTEM_CONFIG,
    VIRTUAL_MACHINE,
    Resource,
)
from defib_core.config.system_config import SystemConfigSpec, parse_system_config
from defib_core.config.virtual_machine import VirtualMachineSpec, parse_virtual_machine
from defib_core.domain.actions import Source
from defib_core.store import intents, mirror
from defib_core.store.clock import database_now
from defib_core.store.mirror import Conflict, Displaced, ObjectKey, VmObject
from defib_operator.kube import Kubernetes, KubernetesError, KubernetesNotFound

log = structlog.get_logger(__name__)

ANNOTATION_EXPIRES = timedelta(minutes=5)
ANNOTATION_ACTOR = "kubectl"

Body = Mapping[str, Any]
Fingerprint = tuple[object, ...]


@dataclass(slots=True)
class Intake:
    """Mirrors objects. `seen` spares the database the echo of our own status writes."""

    engine: AsyncEngine
    kubernetes: Kubernetes
    wants_resync: bool = False
    seen: dict[str, Fingerprint] = field(default_factory=dict)

    async def take(self, resource: Resource, body: Body) -> None:
        """Put one object in force, or say in its status why it cannot be."""
        uid, mark = body["metadata"]["uid"], _fingerprint(body)
        if self.seen.get(uid) == mark:
            return
        if resource is VIRTUAL_MACHINE:
            await self._take_vm(body)
        elif resource is SYSTEM_CONFIG:
            await self._take_config(body)
        else:
            await self._take_cluster(body)
        self.seen[uid] = mark

    async def drop(self, resource: Resource, body: Body) -> None:
        """Take a deleted object out."""
        await self.drop_uid(resource, body["metadata"]["uid"])

    async def drop_uid(self, resource: Resource, uid: str) -> None:
        """Take a deleted object out; a younger one for the same VM may have waited for that."""
        self.seen.pop(uid, None)
        async with self.engine.begin() as connection:
            if resource is VIRTUAL_MACHINE:
                gone = await mirror.tombstone(connection, [uid], await database_now(connection))
                self.wants_resync = self.wants_resync or bool(gone)
            elif resource is SYSTEM_CONFIG:
                await mirror.forget_config(connection, uid)
            else:
                await mirror.forget_cluster(connection, uid)
        log.info("object_deleted", kind=resource.kind, uid=uid)

    # VirtualMachine

    async def _take_vm(self, body: Body) -> None:
        key = _key(body)
        try:
            spec = parse_virtual_machine(body["spec"])
        except InvalidSpec as error:
            async with self.engine.begin() as connection:
                await mirror.reject_vm(connection, key.uid, str(error))
            await self._say(VIRTUAL_MACHINE, body, ReadyReason.INVALID_SPEC, str(error))
            return
        async with self.engine.begin() as connection:
            now = await database_now(connection)
            result = await mirror.mirror_vm(connection, _vm_object(key, spec, body), now)
            if not isinstance(result, Conflict):
                await self._check_under_config(connection, result.vm_id, key, spec)
        match result:
            case Conflict(namespace, name):
                message = f"{namespace}/{name} stands for this VM already, and is older"
                await self._say(VIRTUAL_MACHINE, body, ReadyReason.CONFLICT, message)
                return
            case Displaced():
                self.wants_resync = True
        log.info("mirrored", vm=result.vm_id, name=key.name, generation=key.generation)
        await self._take_annotation(result.vm_id, body)

    async def _check_under_config(
        self, connection: AsyncConnection, vm_id: int, key: ObjectKey, spec: VirtualMachineSpec
    ) -> None:
        """Refuse what only shows beside the SystemConfig in force."""
        config = parse_system_config(await mirror.config_of(connection, vm_id))
        problems = spec.problems_under(config)
        if problems:
            await mirror.reject_vm(connection, key.uid, "; ".join(map(str, problems)))

    async def _take_annotation(self, vm_id: int, body: Body) -> None:
        """A reset asked for by annotation: acts once for each value, and not when it is old."""
        annotations = body["metadata"].get("annotations") or {}
        asked = annotations.get(RESET_REQUESTED_ANNOTATION)
        if asked is None:
            return
        moment = _moment(asked)
        async with self.engine.begin() as connection:
            now = await database_now(connection)
            if moment is None or abs(now - moment) > ANNOTATION_EXPIRES:
                log.info(
                    "annotation_ignored", vm=vm_id, value=asked, why="not a recent RFC 3339 time"
                )
                return
            request = intents.ManualRequest(
                vm_id=vm_id,
                source=Source.ANNOTATION,
                actor=ANNOTATION_ACTOR,
                reason=annotations.get(RESET_REASON_ANNOTATION, "asked for by annotation")[:500],
                request_key=f"annotation:{asked}",
            )
            result = await intents.request_manual(connection, request, now)
        log.info("annotation_taken", vm=vm_id, value=asked, result=repr(result))

    # SystemConfig

    async def _take_config(self, body: Body) -> None:
        key = _key(body)
        try:
            spec = parse_system_config(body["spec"])
        except InvalidSpec as error:
            async with self.engine.begin() as connection:
                await mirror.mirror_invalid_config(connection, key, str(error))
            message = f"the last valid spec stays in force: {error}"
            await self._say(SYSTEM_CONFIG, body, ReadyReason.INVALID_SPEC, message)
            return
        async with self.engine.begin() as connection:
            vms = await mirror.mirror_config(connection, key, spec, await database_now(connection))
        log.info("config_in_force", name=key.name, generation=key.generation, vms=vms)
        extra = {"vms": vms, "effective": _in_words(spec)}
        await self._say(
            SYSTEM_CONFIG, body, ReadyReason.IN_FORCE, "its VMs are judged by it", extra
        )

    # ProxmoxCluster; its status is written by the task that looks at it

    async def _take_cluster(self, body: Body) -> None:
        key = _key(body)
        try:
            parse_proxmox_cluster(body["spec"])
        except InvalidSpec as error:
            async with self.engine.begin() as connection:
                await mirror.mirror_cluster(connection, key, None, str(error))
            await self._say(PROXMOX_CLUSTER, body, ReadyReason.INVALID_SPEC, str(error))
            return
        async with self.engine.begin() as connection:
            await mirror.mirror_cluster(connection, key, body["spec"], None)
        log.info("cluster_in_force", name=key.name, generation=key.generation)

    async def _say(
        self,
        resource: Resource,
        body: Body,
        reason: ReadyReason,
        message: str,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Write Ready, and what belongs to it, into the status of an object."""
        meta = body["metadata"]
        ready = Condition(
            ConditionType.READY,
            ConditionStatus.TRUE if reason is ReadyReason.IN_FORCE else ConditionStatus.FALSE,
            reason,
            message,
            datetime.now(UTC),
            meta["generation"],
        )
        existing = (body.get("status") or {}).get("conditions", [])
        status = {
            "observedGeneration": meta["generation"],
            "conditions": merge_condition(existing, ready),
            **(extra or {}),
        }
        try:
            await self.kubernetes.patch_status(
                resource, meta["namespace"], meta["name"], status, meta["uid"]
            )
        except KubernetesNotFound:
            return
        except KubernetesError as error:
            log.warning(
                "status_not_written", kind=resource.kind, name=meta["name"], error=str(error)
            )


def _fingerprint(body: Body) -> Fingerprint:
    meta = body["metadata"]
    annotations = meta.get("annotations") or {}
    return (
        meta["generation"],
        tuple(sorted((meta.get("labels") or {}).items())),
        annotations.get(RESET_REQUESTED_ANNOTATION),
        meta.get("deletionTimestamp"),
    )


def _key(body: Body) -> ObjectKey:
    meta = body["metadata"]
    return ObjectKey(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta["generation"],
        created_at=datetime.fromisoformat(meta["creationTimestamp"]),
    )


def _vm_object(key: ObjectKey, spec: VirtualMachineSpec, body: Body) -> VmObject:
    paused, own = spec.paused, spec.overrides
    return VmObject(
        key=key,
        cluster=spec.cluster_ref.name,
        config=spec.config_ref.name,
        vmid=spec.vmid,
        hostname=spec.hostname,
        proxmox_name=spec.proxmox_name,
        stale_timeout=own.stale_timeout,
        cpu_threshold=own.cpu_threshold,
        ram_threshold=own.ram_threshold,
        max_attempts=spec.remediation.max_attempts,
        enabled=spec.remediation.enabled,
        steps=tuple(step.value for step in spec.remediation.steps),
        paused_reason=None if paused is None else paused.reason,
        paused_until=None if paused is None else paused.until,
        labels=body["metadata"].get("labels") or {},
    )


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _in_words(spec: SystemConfigSpec) -> str:
    """Say what is in force in one line, for `kubectl get`."""
    resets = "off" if not spec.auto_reset_enabled else "dry run" if spec.dry_run else "on"
    seconds = spec.stale_timeout_ms / 1000
    return (
        f"down after {seconds:g} s; automatic resets {resets}, at most {spec.max_reset_attempts};"
        f" warning above {spec.cpu_threshold:g} % CPU or {spec.ram_threshold:g} % RAM"
    )
