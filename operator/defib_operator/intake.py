"""Takes custom resources in: parses them, mirrors them into PostgreSQL, refuses what is wrong.

Level-triggered: each object is taken as it is now, however often it comes. Only the leader mirrors,
so that two replicas never write different ages of one object; a new leader lists everything anew.
One object at a time: the watch and the listing speak of the same objects, and must not cross.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from defib_core.config.base import InvalidSpec
from defib_core.config.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    ReadyReason,
    settle,
)
from defib_core.config.proxmox_cluster import parse_proxmox_cluster
from defib_core.config.resources import (
    PROXMOX_CLUSTER,
    SYSTEM_CONFIG,
    VIRTUAL_MACHINE,
    Resource,
)
from defib_core.config.system_config import SystemConfigSpec, parse_system_config
from defib_core.config.virtual_machine import VirtualMachineSpec, parse_virtual_machine
from defib_core.store import mirror
from defib_core.store.clock import database_now
from defib_core.store.failures import is_away
from defib_core.store.mirror import Conflict, Displaced, ObjectKey, VmObject
from defib_core.store.mirror_many import mirror_ordinary
from defib_operator.bodies import (
    Body,
    Mark,
    in_words,
    is_being_deleted,
    key_of,
    mark_of,
    version_of,
    vm_object,
)
from defib_operator.kube import PAGE, Kubernetes, KubernetesError, KubernetesNotFound
from defib_operator.status import refused_status
from defib_operator.wishes import asked_in, take_wishes

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Taken:
    """An object as it was last taken."""

    version: int
    mark: Mark


def _ordinary(body: Body) -> VmObject | None:
    """Read a VirtualMachine that has neither faults nor wishes; None for all others."""
    if is_being_deleted(body) or any(asked_in(body["metadata"].get("annotations") or {})):
        return None
    try:
        return vm_object(key_of(body), parse_virtual_machine(body["spec"]), body)
    except InvalidSpec:
        return None


@dataclass(slots=True)
class Intake:
    """Mirrors objects. What it remembers only saves work: a listing forgets it."""

    engine: AsyncEngine
    kubernetes: Kubernetes
    configs_changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a SystemConfig has come into force."""
    clusters_changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a ProxmoxCluster has changed."""
    listing_wanted: bool = False
    _taken: dict[str, _Taken] = field(default_factory=dict)
    """By uid; spares the database the echo of our own status writes."""
    _gone: set[str] = field(default_factory=set)
    """Deleted since the last listing began: a page read before must not bring them back."""
    _refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Younger objects of a VM that another stands for: uid to namespace and name."""
    _allowed: dict[tuple[str, str], int] = field(default_factory=dict)
    """By namespace and name of a SystemConfig: the shortest stale timeout (ms) it lets VMs have."""
    _missed: dict[str, int] = field(default_factory=dict)
    """Heard of and not taken, as too much came at once: uid to version."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def wants_listing(self) -> None:
        """Something was not taken; only a listing finds it again."""
        self.listing_wanted = True

    def begin_listing(self) -> None:
        """Take everything anew from here on."""
        self.listing_wanted = False
        self._taken.clear()
        self._gone.clear()
        self._refused.clear()
        self._missed.clear()

    def end_listing(self) -> None:
        """What was missed meanwhile, and the listing has not brought, needs another one."""
        while self._missed:
            uid, version = self._missed.popitem()  # another thread may be adding
            taken = self._taken.get(uid)
            if uid not in self._gone and (taken is None or taken.version < version):
                self.wants_listing()

    def miss(self, body: Body) -> None:
        """An object was heard of and is not taken now."""
        self._missed[body["metadata"]["uid"]] = version_of(body)

    @property
    def is_behind(self) -> bool:
        """Whether something waits for a listing."""
        return self.listing_wanted or bool(self._missed)

    def knows(self, body: Body) -> bool:
        """Say whether nothing that matters differs from what was taken. Any thread may ask."""
        taken = self._taken.get(body["metadata"]["uid"])
        return taken is not None and taken.mark == mark_of(body)

    async def take_many(self, bodies: Sequence[Body]) -> None:
        """Put many VirtualMachines in force: the ordinary ones together, the others one by one.

        A fault of ours in one must not keep all others out.
        """
        async with self._turn:
            news = [body for body in bodies if self._is_news(body)]
            done: frozenset[str] = frozenset()
            try:
                done = await self._take_ordinary(news)
            except Exception as error:
                if is_away(error):
                    raise
                log.exception("objects_taken_one_by_one", objects=len(news))
            for body in news:
                if body["metadata"]["uid"] not in done:
                    await self._take_guarded(body)
                self._taken[body["metadata"]["uid"]] = _Taken(version_of(body), mark_of(body))

    def _is_news(self, body: Body) -> bool:
        uid, version, mark = body["metadata"]["uid"], version_of(body), mark_of(body)
        before = self._taken.get(uid)
        if uid in self._gone or (before is not None and before.version > version):
            return False
        if before is None or before.mark != mark:
            return True
        self._taken[uid] = _Taken(version, before.mark)
        return False

    async def _take_ordinary(self, bodies: Sequence[Body]) -> frozenset[str]:
        """Mirror those that need no more than that; return the uids of what is done."""
        given = [one for one in map(_ordinary, bodies) if one is not None]
        if not given:
            return frozenset()
        async with self.engine.begin() as connection:
            now = await database_now(connection)
            many = await mirror_ordinary(connection, given, now)
        for uid in many.put | many.same:
            self._refused.pop(uid, None)
        if many.put:
            log.info("mirrored_many", vms=len(many.put))
        return many.put | many.same

    async def _take_guarded(self, body: Body) -> None:
        try:
            await self._put_in_force(VIRTUAL_MACHINE, body)
        except Exception as error:
            if is_away(error):
                raise
            log.exception(
                "object_not_taken", kind=VIRTUAL_MACHINE.kind, name=body["metadata"]["name"]
            )

    async def take(self, resource: Resource, body: Body) -> None:
        """Put one object in force, or say in its status why it cannot be."""
        uid, now = body["metadata"]["uid"], _Taken(version_of(body), mark_of(body))
        async with self._turn:
            before = self._taken.get(uid)
            is_stale = before is not None and before.version > now.version
            if is_stale or uid in self._gone:
                return
            if before is None or before.mark != now.mark:
                await self._put_in_force(resource, body)
            self._taken[uid] = now

    async def _put_in_force(self, resource: Resource, body: Body) -> None:
        if resource is VIRTUAL_MACHINE and is_being_deleted(body):
            await self._bury(body)
        elif resource is VIRTUAL_MACHINE:
            await self._take_vm(body)
        elif resource is SYSTEM_CONFIG:
            await self._take_config(body)
        else:
            await self._take_cluster(body)

    async def drop(self, resource: Resource, body: Body) -> None:
        """Take a deleted object out."""
        await self.drop_uid(resource, body["metadata"]["uid"])

    async def drop_uid(self, resource: Resource, uid: str) -> None:
        """Take a deleted object out; a younger one for the same VM may have waited for that."""
        async with self._turn:
            self._gone.add(uid)
            self._taken.pop(uid, None)
            if resource is VIRTUAL_MACHINE:
                await self._tombstone([uid])
            elif resource is SYSTEM_CONFIG:
                async with self.engine.begin() as connection:
                    await mirror.forget_config(connection, uid)
            else:
                async with self.engine.begin() as connection:
                    await mirror.forget_cluster(connection, uid)
                self.clusters_changed.set()
            log.info("object_deleted", kind=resource.kind, uid=uid)

    async def drop_many(self, resource: Resource, uids: Sequence[str]) -> None:
        """Take out many objects that a listing did not find."""
        if resource is not VIRTUAL_MACHINE:
            for uid in uids:
                await self.drop_uid(resource, uid)
            return
        for part in (uids[at : at + PAGE] for at in range(0, len(uids), PAGE)):
            async with self._turn:
                self._gone.update(part)
                await self._tombstone(part)
            log.info("objects_deleted", kind=resource.kind, objects=len(part))

    async def _tombstone(self, uids: Sequence[str]) -> None:
        for uid in uids:
            self._taken.pop(uid, None)
            self._refused.pop(uid, None)
        async with self.engine.begin() as connection:
            left = await mirror.tombstone(connection, uids, await database_now(connection))
        if left:
            await self._take_again(list(self._refused.values()))

    async def _take_again(self, names: list[tuple[str, str]]) -> None:
        """Judge VirtualMachines anew whose surroundings have changed."""
        for namespace, name in names:
            try:
                body = await self.kubernetes.get(VIRTUAL_MACHINE, namespace, name)
            except KubernetesNotFound:
                continue
            except KubernetesError as error:
                self.wants_listing()
                log.warning("taken_again_later", name=name, error=str(error))
                continue
            await self._take_vm(body)

    # VirtualMachine

    async def _bury(self, body: Body) -> None:
        """Somebody deleted it, and somebody's finalizer keeps it for a while."""
        await self._tombstone([body["metadata"]["uid"]])
        message = "it is being deleted: reports are stored, nothing is reset"
        await self._refuse(body, ReadyReason.TOMBSTONED, message)

    async def _take_vm(self, body: Body) -> None:
        key = key_of(body)
        self._refused.pop(key.uid, None)
        try:
            spec = parse_virtual_machine(body["spec"])
        except InvalidSpec as error:
            await self._reject(body, str(error))
            return
        async with self.engine.begin() as connection:
            now = await database_now(connection)
            result = await mirror.mirror_vm(connection, vm_object(key, spec, body), now)
            if not isinstance(result, Conflict):
                await self._check_under_config(connection, result.vm_id, key, spec)
        match result:
            case Conflict(namespace, name):
                self._refused[key.uid] = (key.namespace, key.name)
                message = f"{namespace}/{name} stands for this VM already, and is older"
                await self._refuse(body, ReadyReason.CONFLICT, message)
                return
            case Displaced():
                await self._take_again([(result.younger_namespace, result.younger_name)])
        log.info("mirrored", vm=result.vm_id, name=key.name, generation=key.generation)
        await take_wishes(self.engine, result.vm_id, body["metadata"].get("annotations") or {})

    async def _check_under_config(
        self, connection: AsyncConnection, vm_id: int, key: ObjectKey, spec: VirtualMachineSpec
    ) -> None:
        """Refuse what only shows beside the SystemConfig in force."""
        config = parse_system_config(await mirror.config_of(connection, vm_id))
        problems = spec.problems_under(config)
        if problems:
            text = "; ".join(map(str, problems))
            await mirror.reject_vm(connection, key.uid, key.generation, text)

    async def _reject(self, body: Body, why: str) -> None:
        """Refuse an invalid spec; where the object is mirrored, its row tells the projector."""
        key = key_of(body)
        async with self.engine.begin() as connection:
            mirrored = await mirror.reject_vm(connection, key.uid, key.generation, why)
        log.info("refused", name=key.name, reason=ReadyReason.INVALID_SPEC.value, why=why)
        if not mirrored:
            await self._refuse(body, ReadyReason.INVALID_SPEC, why)

    async def _refuse(self, body: Body, reason: ReadyReason, message: str) -> None:
        """Say in the status of an object that stands for no VM why that is so."""
        meta = body["metadata"]
        existing = (body.get("status") or {}).get("conditions", [])
        status = refused_status((reason, message), meta["generation"], existing, datetime.now(UTC))
        await self._write(VIRTUAL_MACHINE, body, status)

    # SystemConfig

    async def _take_config(self, body: Body) -> None:
        key = key_of(body)
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
        self.configs_changed.set()
        extra = {"vms": vms, "effective": in_words(spec)}
        await self._say(
            SYSTEM_CONFIG, body, ReadyReason.IN_FORCE, "its VMs are judged by it", extra
        )
        await self._recheck_overrides(key, spec)

    async def _recheck_overrides(self, key: ObjectKey, spec: SystemConfigSpec) -> None:
        """Judge VMs with a stale timeout of their own anew where what they may have has changed."""
        place = (key.namespace, key.name)
        allowed = 0 if spec.acknowledge_risk else spec.shortest_safe_timeout_ms
        before, self._allowed[place] = self._allowed.get(place), allowed
        if before is None or before == allowed:
            return  # a listing takes all VMs after their SystemConfig
        async with self.engine.connect() as connection:
            overriding = await mirror.overriding(connection, *place)
        await self._take_again(overriding)

    # ProxmoxCluster; its status is written by the task that looks at it

    async def _take_cluster(self, body: Body) -> None:
        key = key_of(body)
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
        self.clusters_changed.set()

    async def _say(
        self,
        resource: Resource,
        body: Body,
        reason: ReadyReason,
        message: str,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Write Ready, and what belongs to it, into the status of an object."""
        generation = body["metadata"]["generation"]
        word = ConditionStatus.TRUE if reason is ReadyReason.IN_FORCE else ConditionStatus.FALSE
        ready = Condition(ConditionType.READY, word, reason, message, datetime.now(UTC), generation)
        existing = (body.get("status") or {}).get("conditions", [])
        status = {
            "observedGeneration": generation,
            "conditions": settle(existing, ready),
            **(extra or {}),
        }
        await self._write(resource, body, status)

    async def _write(self, resource: Resource, body: Body, status: Mapping[str, Any]) -> None:
        meta = body["metadata"]
        try:
            await self.kubernetes.patch_status(
                resource, meta["namespace"], meta["name"], status, meta["uid"]
            )
        except KubernetesNotFound:
            return
        except KubernetesError as error:
            self.wants_listing()
            log.warning(
                "status_not_written", kind=resource.kind, name=meta["name"], error=str(error)
            )
