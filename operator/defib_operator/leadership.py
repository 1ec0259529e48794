"""Whether this replica leads: a lease in PostgreSQL, believed no longer than it surely holds.

The local deadline runs on the event loop's clock, which is monotonic, from before the request was
sent, and is shorter than the lease: a process that was stopped finds it passed. The epoch is
checked again by every statement that matters.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from defib_core.store import lease
from defib_core.store.failures import DATABASE_ERRORS, explain

log = structlog.get_logger(__name__)

MARGIN = 0.75
"""The part of the lease for which leadership is believed."""
STANDBY_TRIES_EVERY = timedelta(seconds=1)
RELEASED_WITHIN = timedelta(seconds=2)


class NotLeading(Exception):
    """This replica does not lead (any more); what it was about to do is another's to do."""


class Leadership:
    """The lease of one replica. `epoch` raises NotLeading unless it surely leads now."""

    def __init__(self, engine: AsyncEngine, identity: str, duration: timedelta) -> None:
        self._engine = engine
        self._identity = identity
        self._duration = duration
        self._epoch: int | None = None
        self._believed_until = 0.0
        self._is_lost = False
        self._foreign: datetime | None = None
        """When another's lease runs out, as last read, and since when it reads so."""
        self._foreign_since = 0.0

    @property
    def leads(self) -> bool:
        """True while the lease surely holds."""
        return self._epoch is not None and asyncio.get_running_loop().time() < self._believed_until

    @property
    def epoch(self) -> int:
        """The epoch under which this replica leads."""
        if self._epoch is None or not self.leads:
            raise NotLeading(f"{self._identity} does not lead")
        return self._epoch

    @property
    def until(self) -> float:
        """The moment of the loop's clock up to which it surely leads; raises NotLeading."""
        if not self.leads:
            raise NotLeading(f"{self._identity} does not lead")
        return self._believed_until

    async def keep(self) -> None:
        """Take the lease when it is free, and renew it for as long as this runs."""
        while True:
            await self._try()
            pause = self._duration / 4 if self.leads else STANDBY_TRIES_EVERY
            await asyncio.sleep(min(pause, self._duration / 4).total_seconds())

    async def _try(self) -> None:
        asked = asyncio.get_running_loop().time()
        limit = self._duration.total_seconds() / 2
        try:
            async with asyncio.timeout(limit), self._engine.begin() as connection:
                epoch = await lease.take_or_renew(
                    connection, self._identity, self._duration, overdue=self._overdue(asked)
                )
                foreign = None if epoch is not None else await lease.expires_at(connection)
        except (TimeoutError, OSError, *DATABASE_ERRORS) as error:
            self._note_loss(error)
            return
        self._is_lost = False
        if foreign != self._foreign:
            self._foreign, self._foreign_since = foreign, asyncio.get_running_loop().time()
        self._note(epoch)
        self._epoch = epoch
        self._believed_until = asked + self._duration.total_seconds() * MARGIN

    def _overdue(self, now: float) -> datetime | None:
        """Name another's lease that was not renewed, by our own clock, for as long as it lasts."""
        waited = now - self._foreign_since
        return self._foreign if waited > self._duration.total_seconds() else None

    def _note(self, epoch: int | None) -> None:
        if epoch is not None and epoch != self._epoch:
            log.info("leading", identity=self._identity, epoch=epoch)
        if epoch is None and self._epoch is not None:
            log.warning("no_longer_leading", identity=self._identity)

    def _note_loss(self, error: Exception) -> None:
        """Say once that the lease cannot be renewed; it is believed to its end, and no longer."""
        if not self._is_lost:
            log.warning("lease_not_renewed", identity=self._identity, error=explain(error))
        self._is_lost = True

    async def release(self) -> None:
        """Give the lease back on an orderly end; where that fails it runs out by itself."""
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            return
        limit = RELEASED_WITHIN.total_seconds()
        try:
            async with asyncio.timeout(limit), self._engine.begin() as connection:
                await lease.release(connection, self._identity, epoch)
        except (TimeoutError, OSError, *DATABASE_ERRORS) as error:
            log.warning("lease_not_released", identity=self._identity, error=explain(error))
            return
        log.info("lease_released", identity=self._identity, epoch=epoch)


@asynccontextmanager
async def leading(engine: AsyncEngine, epoch: int) -> AsyncIterator[AsyncConnection]:
    """A transaction of the leader; raises NotLeading where another has taken the lease since.

    Nobody can take it before the transaction ends, so keep it short.
    """
    async with engine.begin() as connection:
        if not await lease.is_mine(connection, epoch):
            raise NotLeading(f"epoch {epoch} has passed")
        yield connection
