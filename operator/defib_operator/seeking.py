"""Finds in Proxmox's configuration the VM of a machine that sent nothing but its SMBIOS UUID.

Proxmox cannot be asked for a UUID, so configurations are read, a few at a time, and only while
somebody is sought: those of namesakes first, since most guests are called what Proxmox calls them.
Two VMs with one UUID (a restored backup) are no answer; a machine is never guessed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.domain.decide import is_same_name, is_same_uuid
from defib_core.store import sought as store
from defib_core.store.clock import database_now
from defib_core.store.sought import Sought
from defib_operator.cluster_watch import ClusterWatch
from defib_operator.leadership import Leadership
from defib_operator.proxmox import (
    GuestKind,
    Inventory,
    InventoryVm,
    PowerStatus,
    ProxmoxClient,
    ProxmoxError,
)

log = structlog.get_logger(__name__)

LOOKS = 40
"""Configurations read in a cluster at a time."""
AT_A_TIME = 4
AGAIN_AFTER = timedelta(minutes=10)
AGAIN_AFTER_TROUBLE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Read:
    """What a VM's configuration said, and when (monotonic seconds)."""

    uuid: str | None
    at: float
    is_known: bool
    """False where it could not be read."""

    def is_machine(self, smbios_uuid: str) -> bool:
        """Whether a machine that says it has this UUID is this VM."""
        return self.uuid is not None and is_same_uuid(self.uuid, smbios_uuid)

    def is_due(self, now: float) -> bool:
        """Whether it is time to read it again."""
        wait = AGAIN_AFTER if self.is_known else AGAIN_AFTER_TROUBLE
        return now - self.at > wait.total_seconds()


def may_report(inventory: Inventory) -> list[InventoryVm]:
    """The VMs that a report can come from: QEMU guests that run on a node that is there."""
    return [
        vm
        for vm in inventory.vms
        if vm.kind is not GuestKind.LXC
        and not vm.template
        and vm.status is not PowerStatus.STOPPED
        and inventory.nodes.get(vm.node) is not False
    ]


def vm_of(machine: Sought, running: Sequence[InventoryVm], read: Mapping[int, Read]) -> int | None:
    """Say which VM a machine is, where that is sure. Pure.

    Sure is: of all its namesakes, or of all VMs, exactly one has its UUID, and all were read.
    """
    namesakes = [vm for vm in running if _is_called(vm, machine.hostname)]
    for among in (namesakes, running):
        known = [read.get(vm.vmid) for vm in among]
        same = [
            vm.vmid
            for vm, one in zip(among, known, strict=True)
            if one is not None and one.is_machine(machine.smbios_uuid)
        ]
        if len(same) == 1 and all(one is not None and one.is_known for one in known):
            return same[0]
    return None


def next_to_read(
    machines: Sequence[Sought],
    running: Sequence[InventoryVm],
    read: Mapping[int, Read],
    now: float,
) -> list[InventoryVm]:
    """Choose whose configuration to read now: namesakes, then who was never read. Pure."""

    def urgency(vm: InventoryVm) -> tuple[bool, float, int]:
        before = read.get(vm.vmid)
        is_namesake = any(_is_called(vm, one.hostname) for one in machines)
        return (not is_namesake, float("-inf") if before is None else before.at, vm.vmid)

    due = [vm for vm in running if vm.vmid not in read or read[vm.vmid].is_due(now)]
    return sorted(due, key=urgency)[:LOOKS]


def _is_called(vm: InventoryVm, hostname: str) -> bool:
    return vm.name is not None and is_same_name(vm.name, hostname)


@dataclass(slots=True)
class Seeking:
    """Looks for machines while the operator leads, and remembers what it read."""

    engine: AsyncEngine
    leadership: Leadership
    clusters: ClusterWatch
    _read: dict[int, dict[int, Read]] = field(default_factory=dict)
    """By cluster and vmid."""

    async def seek(self) -> None:
        """Look once for everybody who is sought."""
        if not self.leadership.leads:
            return
        async with self.engine.begin() as connection:
            now = await database_now(connection)
            await store.forget_old(connection, now)
            machines = await store.sought(connection, now)
        in_order = sorted(machines, key=attrgetter("cluster_id"))
        for cluster_id, group in groupby(in_order, key=attrgetter("cluster_id")):
            await self._seek_in(cluster_id, list(group), now)

    async def _seek_in(self, cluster_id: int, machines: Sequence[Sought], now: datetime) -> None:
        view = self.clusters.last_view(cluster_id)
        if view is None or view.client is None or view.inventory is None:
            return
        running = may_report(view.inventory)
        read = self._read.setdefault(cluster_id, {})
        for gone in read.keys() - {vm.vmid for vm in running}:
            del read[gone]
        await self._look_at(view.client, machines, running, read)
        for machine in machines:
            vmid = vm_of(machine, running, read)
            if vmid is None:
                continue
            async with self.engine.begin() as connection:
                await store.found(connection, machine, vmid, now)
            log.info("machine_found", vmid=vmid, hostname=machine.hostname, cluster=cluster_id)

    async def _look_at(
        self,
        client: ProxmoxClient,
        machines: Sequence[Sought],
        running: Sequence[InventoryVm],
        read: dict[int, Read],
    ) -> None:
        gate = asyncio.Semaphore(AT_A_TIME)
        clock = asyncio.get_running_loop().time

        async def look(vm: InventoryVm) -> None:
            async with gate:
                try:
                    seen = await client.look(vm.node, vm.vmid)
                except ProxmoxError as error:
                    log.debug("uuid_not_read", vmid=vm.vmid, error=str(error))
                    read[vm.vmid] = Read(None, clock(), is_known=False)
                    return
            uuid = None if seen.smbios_uuid is None else str(seen.smbios_uuid)
            read[vm.vmid] = Read(uuid, clock(), is_known=True)

        await asyncio.gather(*map(look, next_to_read(machines, running, read, clock())))
