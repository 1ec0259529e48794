"""Hears of custom resources: kopf's watch, and a full listing from time to time.

Registers handlers and nothing else of kopf's: no finalizers, no annotations, no timers on objects.
The listing finds what the watch missed while away, above all deletions.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import kopf
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.config.resources import (
    GROUP,
    PROXMOX_CLUSTER,
    RESOURCES,
    SYSTEM_CONFIG,
    VERSION,
    VIRTUAL_MACHINE,
    Resource,
)
from defib_core.store import mirror
from defib_operator.intake import Intake
from defib_operator.kube import Kubernetes
from defib_operator.leadership import Leadership
from defib_operator.nullstorage import NoDiffBase, NoProgress

log = structlog.get_logger(__name__)

FULL_LISTING_EVERY = timedelta(minutes=10)
LISTEN_EVERY = timedelta(seconds=10)
LIST_ORDER = (PROXMOX_CLUSTER, SYSTEM_CONFIG, VIRTUAL_MACHINE)
"""What VMs refer to comes first."""


class Hearing:
    """When the Kubernetes API was last heard, kept on the event loop's clock (monotonic)."""

    def __init__(self) -> None:
        self._heard: float | None = None

    def note(self) -> None:
        """It was heard just now."""
        self._heard = asyncio.get_running_loop().time()

    def heard_at(self, now: datetime) -> datetime | None:
        """Say when it was last heard; None where it never was."""
        if self._heard is None:
            return None
        return now - timedelta(seconds=asyncio.get_running_loop().time() - self._heard)


class Watching:
    """kopf's operator for our three kinds, and the listing beside it."""

    def __init__(  # noqa: PLR0917 - what it joins together
        self,
        engine: AsyncEngine,
        kubernetes: Kubernetes,
        intake: Intake,
        leadership: Leadership,
        hearing: Hearing,
        namespace: str | None,
    ) -> None:
        self._engine = engine
        self._kubernetes = kubernetes
        self._intake = intake
        self._leadership = leadership
        self._hearing = hearing
        self._namespace = namespace
        self._listed_as: int | None = None
        self._listed_at = 0.0

    async def watch(self, stop: Callable[[], None], take_signals: Callable[[], None]) -> None:
        """Run kopf until it ends; the supervisor starts it again.

        kopf takes SIGTERM and SIGINT for itself while it runs, and ends without an error on either:
        then the whole operator is to stop.
        """
        registry = kopf.OperatorRegistry()
        kopf.on.startup(registry=registry)(_configure)
        kopf.on.login(registry=registry)(self._login)
        for resource in RESOURCES:
            kopf.on.event(GROUP, VERSION, resource.plural, registry=registry)(
                self._handler(resource)
            )
        try:
            await kopf.operator(
                registry=registry,
                standalone=True,
                clusterwide=self._namespace is None,
                namespaces=[] if self._namespace is None else [self._namespace],
            )
        finally:
            take_signals()
        stop()

    async def _login(self, **_: object) -> kopf.ConnectionInfo:
        return self._kubernetes.login()

    def _handler(self, resource: Resource) -> Callable[..., Any]:
        async def on_event(event: kopf.RawEvent, **_: object) -> None:
            self._hearing.note()
            if not self._leadership.leads:
                return
            body = event["object"]
            if event["type"] == "DELETED":
                await self._intake.drop(resource, body)
            else:
                await self._intake.take(resource, body)

        return on_event

    async def listen(self) -> None:
        """Hear the API now and then, and list everything where that is due."""
        while True:
            await self._kubernetes.probe(SYSTEM_CONFIG, self._namespace)
            self._hearing.note()
            if self._leadership.leads and self._is_due():
                await self.list_everything()
            await asyncio.sleep(LISTEN_EVERY.total_seconds() if self._listed_as else 1)

    def _is_due(self) -> bool:
        since = time.monotonic() - self._listed_at
        overdue = since > FULL_LISTING_EVERY.total_seconds()
        new_leader = self._listed_as != self._leadership.epoch
        return new_leader or overdue or self._intake.wants_resync

    async def list_everything(self) -> None:
        """Take in every object there is, and take out those that are gone."""
        epoch, began = self._leadership.epoch, time.monotonic()
        self._intake.wants_resync = False
        self._intake.seen.clear()
        present: dict[Resource, set[str]] = {}
        for resource in LIST_ORDER:
            present[resource] = set()
            async for body in self._kubernetes.list_page(resource, self._namespace):
                present[resource].add(body["metadata"]["uid"])
                await self._intake.take(resource, body)
        async with self._engine.connect() as connection:
            known = {
                resource: await mirror.known_uids(connection, resource, self._namespace)
                for resource in LIST_ORDER
            }
        for resource in LIST_ORDER:
            for uid in known[resource] - present[resource]:
                await self._intake.drop_uid(resource, uid)
        self._listed_as, self._listed_at = epoch, time.monotonic()
        log.info(
            "listed_everything",
            vms=len(present[VIRTUAL_MACHINE]),
            seconds=round(time.monotonic() - began, 1),
        )


async def _configure(settings: kopf.OperatorSettings, **_: object) -> None:
    """Set kopf up for many objects that it must not touch."""
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.queueing.idle_timeout = 0.05
    settings.watching.chunk_size = 500
    settings.watching.connect_timeout = 5
    settings.watching.reconnect_backoff = 1.0
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = (1, 2, 5, 10, *([30] * 20))
