"""Writes the status of VirtualMachines from the database: latest wins, bounded, by the leader only.

Writes on change, never on each heartbeat. What fails is queued again; what is gone is dropped.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.config.resources import VIRTUAL_MACHINE
from defib_core.store import projection
from defib_core.store.clock import database_now
from defib_core.store.projection import Queued, VmStatus
from defib_operator.events import Recorder, events_of
from defib_operator.kube import Kubernetes, KubernetesError, KubernetesNotFound
from defib_operator.leadership import Leadership
from defib_operator.status import status_of

log = structlog.get_logger(__name__)

BATCH = 500
AT_A_TIME = 16
IDLE = timedelta(milliseconds=300)
AFTER_TROUBLE = timedelta(seconds=2)
PASSING = ("lastHeartbeat", "cpuPercent", "ramPercent")
"""Figures that are written along with a change, and are none themselves."""


class Projector:
    """Takes VMs off the queue and writes their statuses."""

    def __init__(
        self, engine: AsyncEngine, leadership: Leadership, kubernetes: Kubernetes, events: Recorder
    ) -> None:
        self._engine = engine
        self._leadership = leadership
        self._kubernetes = kubernetes
        self._events = events

    async def run(self) -> None:
        """Project for as long as this runs."""
        while True:
            failed = await self.project() if self._leadership.leads else None
            if failed is None:
                await asyncio.sleep(IDLE.total_seconds())
            elif failed:
                await asyncio.sleep(AFTER_TROUBLE.total_seconds())

    async def project(self) -> int | None:
        """Write one batch; return how many failed, or None where nothing was queued."""
        async with self._engine.connect() as connection:
            queued = await projection.next_queued(connection, BATCH)
            if queued is None:
                return None
            now = await database_now(connection)
            found = await projection.statuses(connection, queued.vm_ids)
        gate = asyncio.Semaphore(AT_A_TIME)
        written = await asyncio.gather(*(self._write(one, gate, now) for one in found))
        return await self._settle(queued, list(zip(found, written, strict=True)), now)

    async def _settle(
        self,
        queued: Queued,
        written: list[tuple[VmStatus, Mapping[str, Any] | KubernetesError | None]],
        now: datetime,
    ) -> int:
        failed = [one.vm_id for one, result in written if isinstance(result, KubernetesError)]
        async with self._engine.begin() as connection:
            await projection.settle(connection, queued, failed)
            for one, result in written:
                if result is not None and not isinstance(result, KubernetesError):
                    await projection.wrote(connection, one, result, now)
        for one, result in written:
            if result is not None and not isinstance(result, KubernetesError):
                for event in events_of(one, one.written or {}, result):
                    await self._events.post(one, event, now)
        return len(failed)

    async def _write(
        self, one: VmStatus, gate: asyncio.Semaphore, now: datetime
    ) -> Mapping[str, Any] | KubernetesError | None:
        """Write one status; None where there is nothing new, or no object any more."""
        before = one.written or {}
        after = status_of(one, before.get("conditions", []), now)
        if _substance(before) == _substance(after):
            return None
        async with gate:
            try:
                await self._kubernetes.patch_status(
                    VIRTUAL_MACHINE, one.namespace, one.name, after, one.uid
                )
            except KubernetesNotFound:
                return None
            except KubernetesError as error:
                log.warning("status_not_written", vm=one.vm_id, error=str(error))
                return error
        return after


def _substance(status: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in status.items() if key not in PASSING}
