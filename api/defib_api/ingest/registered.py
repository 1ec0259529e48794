"""The VMs this process knows: from (cluster, VMID) to the row that reports are stored in.

A VM that is new, or says something new of itself, goes the slow way through the registry, a few at
a time. This module keeps no health and no figures.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import agent_tokens, registry
from defib_core.store.registry import ReportedIdentity

AT_ONCE = 4
WAITING_MOST = 2_000
REGISTER_SECONDS = 8.0
KNOWN_MOST = 1_000_000
UUID_SECONDS = 60.0


class RegistrationsFull(Exception):
    """More new VMs report than can be written down at once."""


class SlowWay:
    """A few places, and a bounded line before them."""

    def __init__(self, places: int, most: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._most = most
        self._waiting = 0

    async def __aenter__(self) -> None:
        if self._waiting >= self._most:
            raise RegistrationsFull
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._places.release()


class Known(msgspec.Struct, frozen=True, gc=False):
    """A VM's row, and what the last report said of who it is."""

    vm_id: int
    identity: ReportedIdentity

    def covers(self, said: ReportedIdentity) -> bool:
        """True where a report adds nothing; what it leaves out is no change."""
        mine = self.identity
        return (
            said.hostname == mine.hostname
            and (said.node is None or said.node == mine.node)
            and (said.smbios_uuid is None or said.smbios_uuid == mine.smbios_uuid)
            and (said.agent_version is None or said.agent_version == mine.agent_version)
        )


class Registered:
    """Finds the row of a report's VM, creating it where there is none."""

    def __init__(
        self, engine: AsyncEngine, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._known: dict[tuple[int, int], Known] = {}
        self._by_uuid: dict[tuple[int, str], tuple[int, float]] = {}
        self._slow_way = SlowWay(AT_ONCE, WAITING_MOST)

    async def preload(self) -> int:
        """Read all VMs at once, so that a restart does not send a whole fleet the slow way."""
        async with self._engine.connect() as connection:
            self._remember(await registry.all_identities(connection))
        return len(self._known)

    def known_id_of(self, said: ReportedIdentity) -> int | None:
        """Return the row of the VM a report is from; None where it is new, or says what is new."""
        known = self._known.get((said.cluster_id, said.vmid))
        return known.vm_id if known is not None and known.covers(said) else None

    async def vm_id_of(self, said: ReportedIdentity) -> int:
        """Return the row of the VM a report is from, writing down what is new."""
        vm_id = self.known_id_of(said)
        return vm_id if vm_id is not None else await self.register(said)

    async def register(self, said: ReportedIdentity) -> int:
        """Find or create the VM in the database; raise RegistrationsFull."""
        async with self._slow_way, asyncio.timeout(REGISTER_SECONDS), self._engine.begin() as made:
            vm_id = await registry.find_or_create(made, said)
        self._remember([(vm_id, said)])
        return vm_id

    async def vmids_of(self, cluster_id: int, uuid: str, hostname: str) -> tuple[int, ...]:
        """Find the VMs with this SMBIOS UUID; where there is none, have the operator look."""
        vmid, until = self._by_uuid.get((cluster_id, uuid), (0, 0.0))
        if until > self._monotonic():
            return (vmid,)
        async with self._slow_way, asyncio.timeout(REGISTER_SECONDS), self._engine.begin() as asked:
            found = await registry.vmids_of_uuid(asked, cluster_id, uuid)
            if not found:
                await registry.seek(asked, cluster_id, uuid, hostname)
        if len(found) == 1:
            self._by_uuid[cluster_id, uuid] = found[0], self._monotonic() + UUID_SECONDS
        return found

    async def bind(self, token_id: int, vm_id: int) -> None:
        """Keep which VM a token is of, now that it is known."""
        async with self._slow_way, asyncio.timeout(REGISTER_SECONDS), self._engine.begin() as made:
            await agent_tokens.bind(made, token_id, vm_id)

    def _remember(self, vms: Iterable[tuple[int, ReportedIdentity]]) -> None:
        if len(self._known) > KNOWN_MOST:
            self._known.clear()
            self._by_uuid.clear()
        for vm_id, identity in vms:
            self._known[identity.cluster_id, identity.vmid] = Known(vm_id, identity)
