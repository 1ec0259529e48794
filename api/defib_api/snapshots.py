"""What the dashboard reads all the time, made before it asks: once a second, and for everybody.

Kept in this process; the two answers of the contract also in Redis, for the other replicas. What
takes long for a large fleet runs beside the loop, which takes in reports meanwhile.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from importlib.metadata import version as version_of
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_api.cache import ReadCache
from defib_api.fleet import page, vector
from defib_api.fleet.page import PageWanted
from defib_api.fleet.view import FleetView, Reading
from defib_api.fresh import Fresh
from defib_api.prepared import Prepared
from defib_api.schemas.fleet import Label, Node
from defib_api.schemas.overview import System
from defib_api.schemas.probes import CheckStatus
from defib_api.schemas.vms import Status
from defib_core.store import overview, places, reads, vm_rows
from defib_core.store.clock import database_now

VMS, STATUS = "vms", "status"
PAGES_KEPT = 200
"""Lists that differ in filter, order or place; the least asked for makes room."""
KEYS_MOST, VALUES_MOST = 100, 100

_nodes = TypeAdapter(list[Node])
_labels = TypeAdapter(list[Label])

Build = Callable[[AsyncConnection], Awaitable[bytes]]


class Snapshots:
    """Every answer that is prepared."""

    def __init__(
        self,
        reading: Reading,
        cache: ReadCache,
        namespace: str,
        *,
        waiting: Callable[[], int],
        version: Callable[[], Awaitable[int]],
    ) -> None:
        """`waiting`: reports about to be stored. `version`: up to which change all is there."""
        self._reading = reading
        self._cache = cache
        self._namespace = namespace
        self._waiting = waiting
        self._pages: OrderedDict[PageWanted, Fresh[Prepared]] = OrderedDict()
        self.view = FleetView(reading, version)
        self.vms = Fresh(self._shared(VMS, vm_rows.all_rows))
        self.status = Fresh(self._shared(STATUS, self._status))
        self.fleet = Fresh(self._fleet)
        self.nodes = Fresh(self._own(_write_nodes))
        self.labels = Fresh(self._own(_write_labels))
        self.system = Fresh(self._own(self._system))

    async def vms_now(self) -> Prepared:
        """Give out the whole fleet as it is now, for who asks for nothing older."""
        await self._cache.forget(VMS)
        self.vms.forget()
        return await self.vms.get()

    async def page(self, asked: PageWanted) -> Prepared:
        """Give out one page of a list; raises BadCursor."""
        kept = self._pages.get(asked)
        if kept is None:
            kept = self._pages[asked] = Fresh(lambda: self._page(asked))
            if len(self._pages) > PAGES_KEPT:
                self._pages.popitem(last=False)
        self._pages.move_to_end(asked)
        return await kept.get()

    async def forget(self) -> None:
        """Drop what a change has just made old."""
        await self._cache.forget(VMS, STATUS)
        self._pages.clear()
        self.view.forget()
        kept: tuple[Fresh[Any], ...] = (self.vms, self.status, self.fleet, self.nodes, self.system)
        for one in kept:
            one.forget()

    def _own(self, build: Build) -> Callable[[], Awaitable[Prepared]]:
        async def make() -> Prepared:
            async with self._reading() as connection:
                return Prepared(await build(connection))

        return make

    def _shared(self, name: str, build: Build) -> Callable[[], Awaitable[Prepared]]:
        async def read() -> bytes:
            async with self._reading() as connection:
                return await build(connection)

        async def make() -> Prepared:
            return Prepared(await self._cache.get_or_build(name, read))

        return make

    async def _page(self, asked: PageWanted) -> Prepared:
        found = await asyncio.to_thread(page.cut, await self.view.now(), asked)
        async with self._reading() as connection:
            return Prepared(await page.written(connection, found))

    async def _fleet(self) -> Prepared:
        return await asyncio.to_thread(vector.prepare, await self.view.now())

    async def _status(self, connection: AsyncConnection) -> bytes:
        now = await database_now(connection)
        counts = await reads.fleet_counts(connection, self._namespace)
        return Status.from_counts(counts, now).model_dump_json().encode()

    async def _system(self, connection: AsyncConnection) -> bytes:
        now = await database_now(connection)
        seen = await overview.overview(connection, self._namespace, now)
        shown = System.from_overview(
            seen,
            version=version_of("defib"),
            redis=await self._redis(),
            reports_waiting=self._waiting(),
        )
        return shown.model_dump_json().encode()

    async def _redis(self) -> CheckStatus:
        if not self._cache.is_configured:
            return CheckStatus.OFF
        return CheckStatus.OK if await self._cache.check() is None else CheckStatus.DEGRADED


async def _write_nodes(connection: AsyncConnection) -> bytes:
    found = await places.nodes(connection)
    return _nodes.dump_json([Node.from_view(one) for one in found])


async def _write_labels(connection: AsyncConnection) -> bytes:
    found = await places.labels(connection, keys_most=KEYS_MOST, values_most=VALUES_MOST)
    return _labels.dump_json([Label(key=one.key, values=list(one.values)) for one in found])
