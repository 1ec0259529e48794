"""The table of valid keys in this process: digests only, loaded from PostgreSQL every few seconds.

A key that is not in it makes it load again, at most once a second, so that a new token works at
once. While PostgreSQL is away the keys it has go on being valid.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

import structlog

from defib_core.store.failures import DATABASE_ERRORS, explain
from defib_core.store.tokens import digest

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 3.0
"""A revoked or expired token is valid this long at most, while the database answers."""
MISS_SECONDS = 1.0
LOAD_SECONDS = 5.0

T = TypeVar("T")


class KeysUnknown(Exception):
    """The database is away, so nobody can say whether this key is valid."""


class KeyTable(Generic[T]):
    """Answers whose key it is, from memory."""

    def __init__(
        self,
        load: Callable[[], Awaitable[Mapping[bytes, T]]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._monotonic = monotonic
        self._tokens: Mapping[bytes, T] = {}
        self._loaded_at = float("-inf")
        self._tried_at = float("-inf")
        self._loading: asyncio.Task[None] | None = None

    async def find(self, key: bytes) -> T | None:
        """Say whose key it is, None for nobody's; raise KeysUnknown where that cannot be told."""
        return await self.find_digest(digest(key))

    async def find_digest(self, sha256: bytes) -> T | None:
        """Say the same of a key of which only the digest came, through a relay."""
        token = self._tokens.get(sha256)
        if token is not None:
            return token
        asked_at = self._monotonic()
        while self._tried_at < asked_at:
            await self._try_to_load()
        if self._loaded_at < asked_at and sha256 not in self._tokens:
            raise KeysUnknown
        return self._tokens.get(sha256)

    def knows_digest(self, sha256: bytes) -> bool:
        """Whether a key was good when the table was last read; asks nobody."""
        return sha256 in self._tokens

    def forget(self, key: bytes) -> None:
        """Stop knowing a key that this process has just ended."""
        self.forget_digests({digest(key)})

    def forget_digests(self, gone: Collection[bytes]) -> None:
        """Stop knowing keys by their digests."""
        self._tokens = {sha256: one for sha256, one in self._tokens.items() if sha256 not in gone}

    async def keep_fresh(self) -> None:
        """Load the table every few seconds, for ever."""
        while True:
            await self._try_to_load()
            await asyncio.sleep(REFRESH_SECONDS)

    async def _try_to_load(self) -> None:
        """Load once for all who wait, at most once a second; a failure leaves the table as is."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load_when_due())
        await asyncio.shield(self._loading)

    async def _load_when_due(self) -> None:
        await asyncio.sleep(max(0.0, self._tried_at + MISS_SECONDS - self._monotonic()))
        begun = self._monotonic()
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                self._tokens = await self._load()
            self._loaded_at = begun
        except (*DATABASE_ERRORS, OSError) as error:
            log.warning("keys.not_loaded", error=explain(error), known=len(self._tokens))
        finally:
            self._tried_at = begun
