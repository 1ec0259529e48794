"""The read cache in Redis (or Valkey): a short copy of what PostgreSQL says, gone at any time.

With `redis_client.py` the only module that knows Redis. No answer depends on it: whatever goes
wrong here, the reader is served from PostgreSQL, and /readyz says that it is slower. Plain GET, SET
and DEL only.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from redis.asyncio import Redis

from defib_api.redis_client import RedisClient, client_of

log = structlog.get_logger(__name__)

T = TypeVar("T")
Build = Callable[[], Awaitable[bytes]]

KEPT_MS = 1000
CALL_SECONDS = 0.5
REST_SECONDS = 5.0
"""After a failure Redis is left alone for this long."""
MARK = b"defib1:"
DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Broken:
    """Since when Redis does not answer, and why."""

    since: datetime
    why: str


class ReadCache:
    """Holds serialised answers for a second; builds each of them once at a time."""

    def __init__(
        self, url: str | None, *, scope: str, url_now: Callable[[], str | None] = lambda: None
    ) -> None:
        """`scope` keeps installations that share a server apart; without `url` nothing is kept.

        `url_now` is asked after a failure: the password may have changed since.
        """
        self._url = url
        self._url_now = url_now
        self._client = None if url is None else client_of(url)
        self._prefix = f"defib:{hashlib.sha256(scope.encode()).hexdigest()[:16]}:"
        self._flights: dict[str, asyncio.Task[bytes]] = {}
        self._broken: Broken | None = None
        self._rests_until = 0.0

    @property
    def is_configured(self) -> bool:
        """True where there should be a Redis."""
        return self._client is not None

    @property
    def broken(self) -> Broken | None:
        """Since when Redis does not answer, as far as is known; None where it does."""
        return self._broken

    async def get_or_build(self, name: str, build: Build) -> bytes:
        """Return the copy, or build it; all who ask meanwhile wait for the same one."""
        flight = self._flights.get(name)
        if flight is None:
            flight = asyncio.create_task(self._fly(name, build))
            self._flights[name] = flight
            flight.add_done_callback(lambda done: self._land(name, done))
        return await asyncio.shield(flight)

    async def forget(self, *names: str) -> None:
        """Drop copies that are known to be old."""
        for name in names:
            self._flights.pop(name, None)
        keys = [self._prefix + name for name in names]
        await self._guarded(lambda redis: redis.delete(*keys))

    async def check(self) -> Broken | None:
        """Ask Redis whether it answers, and takes what is kept; None where it does."""
        await self._guarded(self._try_out)
        return self._broken

    async def close(self) -> None:
        """Let the connections go."""
        if self._client is not None:
            await self._client.aclose()

    async def _fly(self, name: str, build: Build) -> bytes:
        copy = await self._read(self._prefix + name)
        if copy is not None:
            return copy
        fresh = await build()
        framed = _frame(fresh)
        await self._guarded(lambda redis: redis.set(self._prefix + name, framed, px=KEPT_MS))
        return fresh

    async def _try_out(self, redis: Redis) -> None:
        await redis.ping()  # in a cluster, every node
        # A replica, or a user without the rights, answers a ping as well.
        await redis.set(f"{self._prefix}check", b"", px=KEPT_MS)

    def _land(self, name: str, done: asyncio.Task[bytes]) -> None:
        if self._flights.get(name) is done:
            del self._flights[name]
        if not done.cancelled():
            done.exception()  # Whoever waited has it; if nobody did, it is nobody's.

    async def _read(self, key: str) -> bytes | None:
        raw = await self._guarded(lambda redis: redis.get(key))
        return _unframe(raw) if isinstance(raw, bytes) else None

    async def _guarded(self, call: Callable[[Redis], Awaitable[T]]) -> T | None:
        """Make a call to Redis; None where there is none, it fails, or rests after a failure."""
        if self._client is None or time.monotonic() < self._rests_until:
            return None
        try:
            async with asyncio.timeout(CALL_SECONDS):
                result = await call((await self._client_now(self._client)).commands)
        except Exception as error:  # noqa: BLE001 - the client's own mistakes, too, cost no read
            self._rest(error)
            return None
        if self._broken is not None:
            log.info("cache.back", away_since=self._broken.since.isoformat())
            self._broken = None
        return result

    async def _client_now(self, client: RedisClient) -> RedisClient:
        """After a failure, take the URL as it is now."""
        url = None if self._broken is None else self._url_now()
        if url is None or url == self._url:
            return client
        self._url = url
        try:
            made = self._client = client_of(url)
        except ValueError as error:
            log.warning("cache.url_refused", error=str(error), note="the one before stays in use")
            return client
        log.info("cache.url_renewed")
        await client.aclose()
        return made

    def _rest(self, error: Exception) -> None:
        why = str(error) or type(error).__name__
        if self._broken is None:
            self._broken = Broken(datetime.now(UTC), why)
            log.warning("cache.away", error=why, note="answers come from PostgreSQL meanwhile")
        self._rests_until = time.monotonic() + REST_SECONDS


def _frame(body: bytes) -> bytes:
    return MARK + hashlib.sha256(body).digest()[:DIGEST_BYTES] + body


def _unframe(raw: bytes) -> bytes | None:
    """Take the copy out; None where it is not ours, or not whole."""
    start = len(MARK) + DIGEST_BYTES
    body = raw[start:]
    return body if _frame(body) == raw else None
