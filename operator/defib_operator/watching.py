"""Hears of custom resources: kopf's watch, and a full listing from time to time.

Registers handlers and nothing else of kopf's: no finalizers, no annotations, no timers on objects.
The listing finds what the watch missed while away, above all deletions.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import aiohttp
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
from defib_core.store.failures import DATABASE_ERRORS, explain, is_away
from defib_operator.bodies import Body
from defib_operator.inbox import Inbox, Letter
from defib_operator.intake import Intake
from defib_operator.kopf_thread import run_kopf
from defib_operator.kube import Kubernetes, KubernetesError
from defib_operator.leadership import Leadership
from defib_operator.nullstorage import NoDiffBase, NoProgress

log = structlog.get_logger(__name__)

FULL_LISTING_EVERY = timedelta(minutes=10)
LISTEN_EVERY = timedelta(seconds=1)
"""Shorter than `safety.controlPlaneStaleSeconds` can be set."""
CHECK_RIGHTS_EVERY = timedelta(minutes=1)
LIST_WITHIN = timedelta(milliseconds=200)
"""How soon a new leader lists everything."""
AFTER_TROUBLE = timedelta(seconds=2)
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
        self._inbox = Inbox()
        self._listed_as: int | None = None
        self._listed_at = 0.0
        self._is_heard = True
        self._rights_checked_at = float("-inf")

    def heard_at(self, now: datetime) -> datetime | None:
        """Say when the API was last heard, for a leader that knows what stands in it.

        None until everything was listed under this epoch: a pause may be waiting there.
        """
        return self._hearing.heard_at(now) if self.knows_everything else None

    @property
    def knows_everything(self) -> bool:
        """True for a leader that has listed all objects under its epoch."""
        return self._leadership.leads and self._listed_as == self._leadership.epoch

    async def watch(self) -> None:
        """Run kopf until it ends; the supervisor starts it again."""
        registry = kopf.OperatorRegistry()
        kopf.on.startup(registry=registry)(_configure)
        kopf.on.login(registry=registry)(self._login)
        home = asyncio.get_running_loop()
        for resource in RESOURCES:
            kopf.on.event(GROUP, VERSION, resource.plural, registry=registry)(
                self._handler(resource, home)
            )
        try:
            await run_kopf(registry, self._namespace)
        except aiohttp.ClientError as error:
            raise KubernetesError("watch custom resources", None, repr(error)) from error
        except Exception as error:
            # kopf keeps the class of its refusals to itself; they carry a status and the words.
            status = getattr(error, "status", None)
            if not isinstance(status, int):
                raise
            text = f"{status}: {error.args[0] if error.args else error!r}"
            raise KubernetesError("watch custom resources", status, text) from error

    async def _login(self, **_: object) -> kopf.ConnectionInfo:
        return self._kubernetes.login()

    def _handler(self, resource: Resource, home: asyncio.AbstractEventLoop) -> Callable[..., Any]:
        async def on_event(event: kopf.RawEvent, **_: object) -> None:
            gone = event["type"] == "DELETED"
            if resource is VIRTUAL_MACHINE:
                self._leave(event["object"], gone=gone)
                return
            heard = self._hear(resource, event["object"], gone=gone)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(heard, home))

        return on_event

    def _leave(self, body: Body, *, gone: bool) -> None:
        """Leave a VirtualMachine in the inbox; called in kopf's thread, which must not wait."""
        self._hearing.note()
        letter = Letter(body, gone)
        if not self._leadership.leads or self._is_known(letter):
            return
        if not self._inbox.put(letter):
            self._intake.miss(body)

    def _is_known(self, letter: Letter) -> bool:
        """Most of what comes is the echo of our own statuses."""
        return (
            not letter.gone
            and not self._inbox.holds(letter.uid)
            and self._intake.knows(letter.body)
        )

    async def take_in(self) -> None:
        """Take in what kopf's thread leaves, for as long as this runs."""
        while True:
            letters = await self._inbox.take()
            try:
                await self._take_letters(letters)
            except Exception:
                self._intake.wants_listing()
                raise
            finally:
                self._inbox.done()

    async def _take_letters(self, letters: Sequence[Letter]) -> None:
        if not self._leadership.leads:
            return
        try:
            for letter in letters:
                if letter.gone:
                    await self._intake.drop(VIRTUAL_MACHINE, letter.body)
            await self._intake.take_many([one.body for one in letters if not one.gone])
        except DATABASE_ERRORS as error:
            self._intake.wants_listing()
            log.warning("events_wait_for_listing", kind=VIRTUAL_MACHINE.kind, error=explain(error))

    async def _hear(self, resource: Resource, body: Body, *, gone: bool) -> None:
        """Take one event in. What cannot be taken now is found by the next listing."""
        self._hearing.note()
        if not self._leadership.leads:
            return
        try:
            if gone:
                await self._intake.drop(resource, body)
            else:
                await self._intake.take(resource, body)
        except DATABASE_ERRORS as error:
            self._intake.wants_listing()
            log.warning("event_waits_for_listing", kind=resource.kind, error=explain(error))

    async def listen(self) -> None:
        """Hear the API now and then, and list everything where that is due."""
        clock = asyncio.get_running_loop()
        probe_at = clock.time()
        while True:
            fine = True
            if clock.time() >= probe_at:
                fine = await self._probe()
                probe_at = clock.time() + LISTEN_EVERY.total_seconds()
            if fine and self._leadership.leads and self._is_due():
                fine = await self._list()
            pause = LIST_WITHIN if fine else AFTER_TROUBLE
            await asyncio.sleep(pause.total_seconds())

    async def _probe(self) -> bool:
        try:
            await self._kubernetes.probe(VIRTUAL_MACHINE, self._namespace)
            await self._check_rights()
        except KubernetesError as error:
            if self._is_heard:
                log.warning("kubernetes_away", error=str(error))
            self._is_heard = False
            return False
        if not self._is_heard:
            log.info("kubernetes_back")
        self._is_heard = True
        self._hearing.note()
        return True

    async def _check_rights(self) -> None:
        """See that we may watch: else a pause would be heard with the next listing only."""
        clock = asyncio.get_running_loop()
        age = clock.time() - self._rights_checked_at
        if self._is_heard and age < CHECK_RIGHTS_EVERY.total_seconds():
            return
        for resource in RESOURCES:
            await self._kubernetes.check_may_watch(resource, self._namespace)
        self._rights_checked_at = clock.time()

    def _is_due(self) -> bool:
        since = asyncio.get_running_loop().time() - self._listed_at
        overdue = since > FULL_LISTING_EVERY.total_seconds()
        new_leader = self._listed_as != self._leadership.epoch
        return new_leader or overdue or self._intake.is_behind

    async def _list(self) -> bool:
        try:
            await self.list_everything()
        except (KubernetesError, *DATABASE_ERRORS) as error:
            self._intake.wants_listing()
            log.warning("listing_failed", error=str(error).partition("\n")[0])
            return False
        return True

    async def list_everything(self) -> None:
        """Take in every object there is, and take out those that are gone."""
        clock = asyncio.get_running_loop()
        epoch, began = self._leadership.epoch, clock.time()
        self._intake.begin_listing()
        # Known before it is listed: what is created meanwhile must not look gone.
        async with self._engine.connect() as connection:
            known = {
                resource: await mirror.known_uids(connection, resource, self._namespace)
                for resource in LIST_ORDER
            }
        listed = {resource: await self._take_all(resource) for resource in LIST_ORDER}
        for resource in LIST_ORDER:
            await self._intake.drop_many(resource, sorted(known[resource] - listed[resource]))
        self._intake.end_listing()
        self._listed_as, self._listed_at = epoch, clock.time()
        log.info(
            "listed_everything",
            vms=len(listed[VIRTUAL_MACHINE]),
            seconds=round(clock.time() - began, 1),
        )

    async def _take_all(self, resource: Resource) -> set[str]:
        """Take in all objects of a kind, a page at a time; return their uids."""
        present: set[str] = set()
        async for page in self._kubernetes.list_pages(resource, self._namespace):
            self._hearing.note()
            present.update(body["metadata"]["uid"] for body in page)
            if resource is VIRTUAL_MACHINE:
                await self._intake.take_many(page)
                continue
            for body in page:
                await self._take_one(resource, body)
        return present

    async def _take_one(self, resource: Resource, body: Body) -> None:
        """Take one object in; a fault of ours in one must not keep all others out."""
        try:
            await self._intake.take(resource, body)
        except Exception as error:
            if is_away(error):
                raise
            log.exception("object_not_taken", kind=resource.kind, name=body["metadata"]["name"])


async def _configure(settings: kopf.OperatorSettings, **_: object) -> None:
    """Set kopf up for many objects that it must not touch."""
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.process.ultimate_exiting_timeout = None
    settings.queueing.idle_timeout = 0.05
    settings.watching.chunk_size = 500
    settings.watching.connect_timeout = 5
    settings.watching.server_timeout = 60
    settings.watching.client_timeout = 90
    settings.watching.reconnect_backoff = 1.0
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = (1, 2, 3, *([5] * 20))
