"""Looks at every Proxmox cluster from time to time, keeps what it saw, and says it in the status.

What it keeps in memory serves the sweep's looks at single VMs: the inventory of each cluster.
"""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.config.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    ReadyReason,
    merge_condition,
    settle,
)
from defib_core.config.resources import PROXMOX_CLUSTER
from defib_core.store import clusters as store
from defib_core.store import inventory
from defib_core.store.clock import database_now
from defib_core.store.clusters import Cluster, Placed, Seen
from defib_operator.clusters import Clients, Unconnected, View, view
from defib_operator.covering import guests_of
from defib_operator.kube import Kubernetes, KubernetesError
from defib_operator.leadership import Leadership
from defib_operator.looks import Finding, Looker, Wanted
from defib_operator.proxmox import (
    GuestKind,
    InventoryVm,
    Lane,
    PowerStatus,
    ProxmoxClient,
    ProxmoxError,
    ProxmoxForbidden,
    ProxmoxUnauthorized,
    ProxmoxUnreachable,
    TokenRights,
)
from defib_operator.status import rfc3339

log = structlog.get_logger(__name__)

LOOK_EVERY = timedelta(seconds=10)
STANDBY = timedelta(milliseconds=500)
VIEW_BUDGET = timedelta(seconds=6)
FRESH_FOR = timedelta(seconds=3)
RIGHTS_EVERY = timedelta(minutes=5)
PIN_AT_ONCE = 20


@dataclass(slots=True)
class _Kept:
    view: View
    at: float


@dataclass(slots=True)
class ClusterWatch:
    """All clusters, as they were last seen."""

    engine: AsyncEngine
    clients: Clients
    kubernetes: Kubernetes
    leadership: Leadership
    looker: Looker
    _kept: dict[int, _Kept] = field(default_factory=dict)
    _rights: dict[int, tuple[float, TokenRights | None]] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by whoever knows that a cluster has changed: it is looked at without delay."""
    _said: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What was last written, by the object's uid."""

    async def run(self) -> None:
        """Look around for as long as this runs and leads."""
        while True:
            pause = STANDBY
            if self.leadership.leads:
                self.changed.clear()
                await self.look_around()
                pause = LOOK_EVERY
            with suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await self.changed.wait()

    async def look_around(self) -> None:
        """Look at every cluster once, and keep what was seen; a standby looks at none."""
        if not self.leadership.leads:
            return
        async with self.engine.connect() as connection:
            known = await store.all_clusters(connection)
        looks = [self._look_at(cluster) for cluster in known]
        for result in await asyncio.gather(*looks, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def client_of(self, cluster_id: int) -> ProxmoxClient:
        """Give the client of a cluster; raise Unconnected."""
        cluster = await self._cluster(cluster_id)
        return await self.clients.client(cluster)

    async def look(self, wanted: Sequence[Wanted], now: datetime) -> Mapping[int, Finding]:
        """Look at single VMs, with inventories that are fresh."""
        if not wanted:
            return {}
        vmids: dict[int, set[int]] = {}
        for one in wanted:
            vmids.setdefault(one.cluster_id, set()).add(one.vmid)
        lane = wanted[0].lane
        fresh = await asyncio.gather(*(self._fresh(*asked, lane) for asked in vmids.items()))
        return await self.looker.look_at_all(wanted, dict(zip(vmids, fresh, strict=True)), now)

    def last_view(self, cluster_id: int) -> View | None:
        """Give a cluster as it was last seen; None where it never was."""
        kept = self._kept.get(cluster_id)
        return None if kept is None else kept.view

    def forget_all_but(self, vm_ids: frozenset[int]) -> None:
        """Stop watching VMs that are no longer suspects."""
        self.looker.forget_all_but(vm_ids)

    async def _fresh(self, cluster_id: int, vmids: AbstractSet[int], lane: Lane) -> View:
        """Give an inventory that is fresh: one in which a VM is missing is never fresh enough."""
        kept = self._kept.get(cluster_id)
        if (
            kept is not None
            and asyncio.get_running_loop().time() - kept.at < FRESH_FOR.total_seconds()
            and _lists(kept.view, vmids)
        ):
            return kept.view
        cluster = await self._cluster(cluster_id)
        try:
            async with asyncio.timeout(VIEW_BUDGET.total_seconds()):
                return await self._view(cluster, lane)
        except TimeoutError:
            # One cluster that hangs must not keep the states of all others waiting.
            late = ProxmoxUnreachable("Proxmox did not list its VMs in time")
            return View(cluster, None, None, late)

    async def _cluster(self, cluster_id: int) -> Cluster:
        async with self.engine.connect() as connection:
            known = await store.all_clusters(connection)
        return next(one for one in known if one.id == cluster_id)

    async def _view(self, cluster: Cluster, lane: Lane = Lane.SWEEP) -> View:
        seen = await view(self.clients, cluster, lane)
        self._kept[cluster.id] = _Kept(seen, asyncio.get_running_loop().time())
        return seen

    async def _look_at(self, cluster: Cluster) -> None:
        if cluster.uid is None and cluster.spec is None:
            return
        seen = await self._view(cluster)
        rights = await self._rights_of(seen)
        missing = () if rights is None else rights.missing
        async with self.engine.begin() as connection:
            now = await database_now(connection)
            await store.saw(connection, cluster.id, _seen(seen, missing), now)
            if seen.inventory is not None:
                await store.place(connection, cluster.id, _placed(seen), now)
                guests = guests_of(seen.inventory, rights)
                await inventory.keep(connection, cluster.id, guests, now)
        await self._pin(seen)
        await self._say(seen, missing, now)

    async def _rights_of(self, seen: View) -> TokenRights | None:
        """What the token may do; asked now and then, as it seldom changes. None: not known."""
        at, rights = self._rights.get(seen.cluster.id, (float("-inf"), None))
        if seen.client is None or seen.inventory is None:
            self._rights.pop(seen.cluster.id, None)  # it may come back with another token
            return None
        lacks = rights is not None and rights.missing
        if lacks or asyncio.get_running_loop().time() - at > RIGHTS_EVERY.total_seconds():
            try:
                rights = await seen.client.token_rights()
            except ProxmoxError as error:
                log.warning("rights_not_read", cluster=seen.cluster.name, error=str(error))
            self._rights[seen.cluster.id] = (asyncio.get_running_loop().time(), rights)
        return rights

    async def _pin(self, seen: View) -> None:
        """Learn the SMBIOS UUID of VMs that were never looked at, a few at a time."""
        if seen.client is None or seen.inventory is None:
            return
        async with self.engine.connect() as connection:
            unpinned = await store.unpinned(connection, seen.cluster.id, PIN_AT_ONCE)
        for one in unpinned:
            try:
                guest = await seen.client.look(one.node, one.vmid)
            except ProxmoxError as error:
                log.debug("not_pinned", vm=one.vm_id, error=str(error))
                continue
            if guest.smbios_uuid is not None:
                async with self.engine.begin() as connection:
                    await store.pin(connection, one.vm_id, str(guest.smbios_uuid))

    async def _say(self, seen: View, missing: tuple[str, ...], now: datetime) -> None:
        """Write the status of the ProxmoxCluster where it has changed."""
        cluster = seen.cluster
        if cluster.uid is None or cluster.invalid is not None:
            return
        try:
            before = await self._before(cluster.uid, cluster)
            status = _status(seen, missing, before.get("conditions", []), now)
            if _known(status) == before:
                return
            await self.kubernetes.patch_status(
                PROXMOX_CLUSTER,
                cluster.namespace,
                cluster.name,
                {**status, "lastChecked": rfc3339(now)},
                cluster.uid,
            )
        except KubernetesError as error:
            log.warning("status_not_written", cluster=cluster.name, error=str(error))
            return
        log.info("cluster_seen", cluster=cluster.name, trouble=_text(seen), missing=list(missing))
        self._said[cluster.uid] = _known(status)

    async def _before(self, uid: str, cluster: Cluster) -> Mapping[str, Any]:
        """What the object's status says; asked once, as nobody else writes it."""
        if uid not in self._said:
            body = await self.kubernetes.get(PROXMOX_CLUSTER, cluster.namespace, cluster.name)
            if body["metadata"]["uid"] == uid:
                status = dict(body.get("status", {}))
                status.pop("lastChecked", None)
                self._said[uid] = status
        return self._said.get(uid, {})


def _lists(view: View, vmids: AbstractSet[int]) -> bool:
    """Say whether none of these is missing: a VM may have been made since it was viewed."""
    return view.inventory is None or vmids <= {vm.vmid for vm in view.inventory.vms}


def _known(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what is null, as the API server does."""
    return {key: value for key, value in status.items() if value is not None}


def _seen(seen: View, missing: tuple[str, ...]) -> Seen:
    inventory = seen.inventory
    return Seen(
        reachable=inventory is not None,
        version=None if inventory is None else inventory.version,
        quorate=None if inventory is None else inventory.quorate,
        nodes={} if inventory is None else inventory.nodes,
        token_missing=missing,
        message=_text(seen),
    )


def _text(seen: View) -> str | None:
    return None if seen.trouble is None else str(seen.trouble)


def _placed(seen: View) -> list[Placed]:
    assert seen.inventory is not None
    nodes = seen.inventory.nodes
    return [_placed_one(row, nodes.get(row.node)) for row in seen.inventory.vms]


def _placed_one(row: InventoryVm, online: bool | None) -> Placed:
    state = "template" if row.template else row.status.value
    stopped = row.status is PowerStatus.STOPPED
    return Placed(
        vmid=row.vmid,
        node=row.node,
        is_qemu=row.kind is not GuestKind.LXC,
        state=None if row.status is PowerStatus.UNKNOWN and not row.template else state,
        busy=row.lock is not None or stopped or online is False,
    )


def _status(
    seen: View,
    missing: tuple[str, ...],
    existing: Sequence[Mapping[str, Any]],
    now: datetime,
) -> dict[str, Any]:
    conditions = settle(existing, _ready(seen, missing, now))
    conditions = merge_condition(conditions, _reachable(seen, missing, now))
    inventory = seen.inventory
    status: dict[str, Any] = {
        "observedGeneration": seen.cluster.generation,
        "reachable": inventory is not None,
        "tokenMissing": list(missing),
        "conditions": conditions,
    }
    if inventory is not None:
        status |= {
            "version": inventory.version,
            "quorate": inventory.quorate,
            "nodes": [
                {"name": name, "online": online is True}
                for name, online in sorted(inventory.nodes.items())
            ],
        }
    return status


def _ready(seen: View, missing: tuple[str, ...], now: datetime) -> Condition:
    reason, message = _why(seen, missing)
    word = ConditionStatus.TRUE if reason is ReadyReason.CONNECTED else ConditionStatus.FALSE
    return Condition(ConditionType.READY, word, reason, message, now, seen.cluster.generation)


def _reachable(seen: View, missing: tuple[str, ...], now: datetime) -> Condition:
    reason, message = _why(seen, missing)
    word = ConditionStatus.FALSE if seen.inventory is None else ConditionStatus.TRUE
    return Condition(ConditionType.REACHABLE, word, reason, message, now, seen.cluster.generation)


def _why(seen: View, missing: tuple[str, ...]) -> tuple[ReadyReason, str]:
    match seen.trouble:
        case Unconnected():
            return ReadyReason.SECRET_NOT_FOUND, str(seen.trouble)
        case ProxmoxUnauthorized() | ProxmoxForbidden():
            return ReadyReason.TOKEN_REFUSED, str(seen.trouble)
        case ProxmoxError():
            return ReadyReason.UNREACHABLE, str(seen.trouble)
        case None if missing:
            return ReadyReason.TOKEN_LACKS_RIGHTS, "; ".join(missing)
        case None:
            return ReadyReason.CONNECTED, "its API answers"
