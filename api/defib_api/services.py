"""The parts of the API process, put together once and started and stopped in order."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from defib_api.attempts import FailedAttempts
from defib_api.cache import ReadCache
from defib_api.events.feed import Feed
from defib_api.housekeeping import Housekeeping
from defib_api.ingest.backlog import Backlog
from defib_api.ingest.counts import Counts
from defib_api.ingest.flood import Flood
from defib_api.ingest.freshness import Freshness
from defib_api.ingest.prover import Prover
from defib_api.ingest.registered import Registered, SlowWay
from defib_api.ingest.rejections import Rejections
from defib_api.ingest.relays import Relays
from defib_api.ingest.writer import Writer
from defib_api.keys import KeyTable
from defib_api.measured import Measured
from defib_api.sign_in import SignIn
from defib_api.snapshots import Snapshots
from defib_api.supervise import keep_running
from defib_api.tls import Tls
from defib_core.config.settings import ApiSettings
from defib_core.store import relays, tokens
from defib_core.store.engine import make_engine, sqlalchemy_url
from defib_core.store.fitness import fit_connection
from defib_core.store.relays import KnownRelay
from defib_core.store.tokens import BoundTokens, KnownToken

POOL_SIZE = 10
READ_SECONDS = 15.0
DRAIN_SECONDS = 10.0
ENROL_AT_ONCE, ENROL_WAITING = 4, 500


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes work with."""

    settings: ApiSettings
    engine: AsyncEngine
    keys: KeyTable[KnownToken]
    known: Registered
    writer: Writer
    rejections: Rejections
    relays: Relays
    freshness: Freshness
    flood: Flood
    counts: Counts
    cache: ReadCache
    snapshots: Snapshots
    feed: Feed
    house: Housekeeping
    failures: FailedAttempts
    measured: Measured
    sign_in: SignIn
    tls: Tls | None
    enrolling: SlowWay
    """Few at a time: whoever shows made-up tokens must not take the reads' connections."""

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection for a read, for a bounded time."""
        async with _reading(self.engine) as connection:
            yield connection

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the background work; at the end, store what is waiting and let go."""
        others = [
            asyncio.create_task(keep_running("keys", self.keys.keep_fresh)),
            asyncio.create_task(keep_running("housekeeping", self.house.run)),
            asyncio.create_task(keep_running("rejections", self.rejections.run)),
            asyncio.create_task(keep_running("events", self.feed.run)),
            asyncio.create_task(keep_running("relays", self.relays.keys.keep_fresh)),
            asyncio.create_task(keep_running("freshness", self.freshness.run)),
        ]
        if self.tls is not None:
            others.append(asyncio.create_task(keep_running("tls", self.tls.run)))
        writing = asyncio.create_task(keep_running("writer", self.writer.run))
        try:
            yield
        finally:
            self.writer.stop()
            await asyncio.wait({writing}, timeout=DRAIN_SECONDS)
            for task in (*others, writing):
                task.cancel()
            await asyncio.gather(*others, writing, return_exceptions=True)
            await self.cache.close()
            await self.engine.dispose()


def make_services(settings: ApiSettings, tls: Tls | None = None) -> Services:
    """Put the parts together; nothing connects before `running`."""
    url = settings.url_now
    redis_url = settings.redis_url
    engine = make_engine(url, application="defib-api", pool_size=POOL_SIZE)
    known = Registered(engine)
    backlog, measured = Backlog(), Measured()
    reading = partial(_reading, engine)
    feed = Feed(reading)
    cache = ReadCache(
        None if redis_url is None else redis_url.get_secret_value(),
        scope=f"{_place_of(url())}/{settings.namespace}",
        url_now=partial(settings.secret_now, "redis_url"),
    )
    return Services(
        settings=settings,
        engine=engine,
        keys=KeyTable(partial(_load_tokens, engine, BoundTokens())),
        known=known,
        writer=Writer(
            partial(fit_connection, url, application="defib-api-writer"),
            Prover(replica_name(settings.api_port)),
            backlog,
            measured.commits,
        ),
        rejections=Rejections(engine),
        relays=Relays(engine, KeyTable(partial(_load_relays, engine))),
        freshness=Freshness(engine),
        flood=Flood(settings.report_limit_per_minute),
        counts=Counts(),
        cache=cache,
        snapshots=Snapshots(
            reading, cache, settings.namespace, waiting=backlog.__len__, version=feed.look
        ),
        feed=feed,
        house=Housekeeping(engine, known, settings.namespace),
        failures=FailedAttempts(),
        measured=measured,
        sign_in=SignIn.of(settings),
        tls=tls,
        enrolling=SlowWay(ENROL_AT_ONCE, ENROL_WAITING),
    )


@asynccontextmanager
async def _reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with asyncio.timeout(READ_SECONDS), engine.connect() as connection:
        yield connection


def services_of(request: Request) -> Services:
    """Give a route the services of its application."""
    services: Services = request.app.state.services
    return services


def replica_name(port: int) -> str:
    """Name this process among the replicas."""
    return f"{socket.gethostname()}:{port}:{os.getpid()}"


def _place_of(database_url: str) -> str:
    url = sqlalchemy_url(database_url)
    return f"{url.host}:{url.port}/{url.database}"


async def _load_relays(engine: AsyncEngine) -> Mapping[bytes, KnownRelay]:
    async with engine.connect() as connection:
        return await relays.load(connection)


async def _load_tokens(engine: AsyncEngine, bound: BoundTokens) -> Mapping[bytes, KnownToken]:
    async with engine.connect() as connection:
        return await tokens.load(connection, bound)
