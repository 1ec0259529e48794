"""Writes the status of VirtualMachines from the database: latest wins, bounded, by the leader only.

Writes on change, never on each heartbeat. What fails is queued again; what is gone is dropped.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
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

Written = Mapping[str, Any] | KubernetesError | None
"""The status written; why it was not; or None where there was nothing to write."""


class Projector:
    """Takes VMs off the queue and writes their statuses."""

    def __init__(
        self, engine: AsyncEngine, leadership: Leadership, kubernetes: Kubernetes, events: Recorder
    ) -> None:
        self._engine = engine
        self._leadership = leadership
        self._kubernetes = kubernetes
        self._events = events
        self._is_failing = False

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
        batch = _Batch(self._kubernetes, now)
        written = await asyncio.gather(*(batch.write(one) for one in found))
        return await self._settle(queued, list(zip(found, written, strict=True)), now)

    async def _settle(
        self, queued: Queued, written: list[tuple[VmStatus, Written]], now: datetime
    ) -> int:
        failures = [(one, result) for one, result in written if isinstance(result, KubernetesError)]
        # Refused for good: the next change of the VM tries again.
        failed = [one.vm_id for one, error in failures if not error.is_final]
        if failures and not self._is_failing:
            one, error = failures[0]
            log.warning("status_not_written", vm=one.vm_id, vms=len(failures), error=str(error))
        self._is_failing = bool(failed)
        done = [
            (one, result)
            for one, result in written
            if result is not None and not isinstance(result, KubernetesError)
        ]
        async with self._engine.begin() as connection:
            await projection.settle(connection, queued, failed)
            await projection.wrote(connection, done, now)
        for one, result in done:
            for event in events_of(one, one.written or {}, result):
                await self._events.post(one, event, now)
        return len(failed)


@dataclass(slots=True)
class _Batch:
    """Writes some statuses, a few at a time; once the API does not answer, no more of them."""

    kubernetes: Kubernetes
    now: datetime
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_A_TIME))
    away: KubernetesError | None = None

    async def write(self, one: VmStatus) -> Written:
        """Write one status, where there is something new to say."""
        before = one.written or {}
        after = status_of(one, before.get("conditions", []), self.now)
        if _substance(before) == _substance(after):
            return None
        async with self.gate:
            return self.away or await self._patch(one, after)

    async def _patch(self, one: VmStatus, status: Mapping[str, Any]) -> Written:
        try:
            await self.kubernetes.patch_status(
                VIRTUAL_MACHINE, one.namespace, one.name, status, one.uid
            )
        except KubernetesNotFound:
            return None
        except KubernetesError as error:
            if error.status is None:
                self.away = error
            return error
        return status


def _substance(status: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in status.items() if key not in PASSING}
