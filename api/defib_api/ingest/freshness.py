"""Up to which age a sample still says how its VM is: one report interval.

The shortest of all SystemConfigs counts, so that no sample speaks for a VM whose next is due.
"""

import asyncio

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import registry
from defib_core.store.failures import DATABASE_ERRORS, explain

log = structlog.get_logger(__name__)

EVERY_SECONDS = 10.0
DEFAULT_SECONDS = 30.0
MOST_SECONDS = 60.0
"""A bucket of the history is made 75 s after its end: what may still come must be there by then."""


class Freshness:
    """Knows the interval; `run` keeps it fresh."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.within = DEFAULT_SECONDS

    def is_late(self, age: float) -> bool:
        """True for a sample that belongs into the history only."""
        return age > self.within

    async def run(self) -> None:
        """Ask every few seconds, for ever; while the database is away the last answer stands."""
        while True:
            try:
                async with self._engine.connect() as connection:
                    shortest = await registry.shortest_report_interval(connection)
                self.within = min(shortest or DEFAULT_SECONDS, MOST_SECONDS)
            except (*DATABASE_ERRORS, OSError) as error:
                log.warning("freshness.not_read", error=explain(error), within=self.within)
            await asyncio.sleep(EVERY_SECONDS)
