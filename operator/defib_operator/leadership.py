"""Whether this replica leads: a lease in PostgreSQL, believed no longer than it surely holds.

The local deadline runs on the event loop's clock, which is monotonic, from before the request was
sent, and is shorter than the lease: a process that was stopped finds it passed. The epoch is
checked again by every statement that matters.
"""

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import lease

log = structlog.get_logger(__name__)

MARGIN = 0.75
"""The part of the lease for which leadership is believed."""


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

    async def keep(self) -> None:
        """Take the lease when it is free, and renew it for as long as this runs."""
        while True:
            await self._try()
            await asyncio.sleep(self._duration.total_seconds() / 4)

    async def _try(self) -> None:
        asked = asyncio.get_running_loop().time()
        limit = self._duration.total_seconds() / 2
        async with asyncio.timeout(limit), self._engine.begin() as connection:
            epoch = await lease.take_or_renew(connection, self._identity, self._duration)
        if epoch is not None and epoch != self._epoch:
            log.info("leading", identity=self._identity, epoch=epoch)
        if epoch is None and self._epoch is not None:
            log.warning("no_longer_leading", identity=self._identity)
        self._epoch = epoch
        self._believed_until = asked + self._duration.total_seconds() * MARGIN

    async def release(self) -> None:
        """Give the lease back on an orderly end."""
        epoch, self._epoch = self._epoch, None
        if epoch is not None:
            async with self._engine.begin() as connection:
                await lease.release(connection, self._identity, epoch)
            log.info("lease_released", identity=self._identity, epoch=epoch)
