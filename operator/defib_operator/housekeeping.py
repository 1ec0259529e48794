"""Keeps the history in order: partitions ahead, rollups behind, old pieces and changes dropped.

Suspicions of clones that nothing confirms any more are ended here as well.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import changes, clones, notices, partitions, rollups
from defib_core.store.clock import database_now

log = structlog.get_logger(__name__)

EVERY = timedelta(seconds=30)


class Leads(Protocol):
    """Whether this replica leads."""

    @property
    def leads(self) -> bool:
        """Say so."""
        ...


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """What the leader does for the history now and then."""

    engine: AsyncEngine
    leadership: Leads

    async def keep_house(self) -> None:
        """Make and drop partitions, roll up what is due, and drop old changes."""
        if not self.leadership.leads:
            return
        async with self.engine.begin() as connection:
            made, dropped = await partitions.maintain(connection, await database_now(connection))
        if made or dropped:
            log.info("partitions_kept", made=made, dropped=dropped)
        for rollup in rollups.ALL:
            async with self.engine.begin() as connection:
                rows = await rollups.roll_up(connection, rollup, await database_now(connection))
            if rows:
                log.debug("rolled_up", into=rollup.target, rows=rows)
        async with self.engine.begin() as connection:
            await clones.end_what_is_over(connection, await database_now(connection))
        async with self.engine.begin() as connection:
            now = await database_now(connection)
            await changes.prune(connection, now)
            await notices.prune(connection, now)
