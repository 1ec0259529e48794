"""Makes the database ready for reports: default rows, partitions ahead; at start and every hour.

Where PostgreSQL is away or not migrated it goes on trying, and /readyz says what is missing.
"""

import asyncio
import gc

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_api.ingest.registered import Registered
from defib_core.store import partitions, registry
from defib_core.store.clock import database_now
from defib_core.store.failures import DATABASE_ERRORS, explain, is_schema_missing

log = structlog.get_logger(__name__)

EVERY_SECONDS = 3600.0
RETRY_FIRST, RETRY_MOST = 0.25, 5.0
YOUNG_OBJECTS = 50_000
"""So many new objects before the garbage collector looks; Python's own 700 are a few reports."""
NOT_YET = "the default cluster, SystemConfig and partitions are not made sure of yet"
NOT_MIGRATED = "the database's schema is missing or too old; run `defib db upgrade`"


class Housekeeping:
    """Knows what is still missing; `problem` is None once all is there."""

    def __init__(self, engine: AsyncEngine, known: Registered, namespace: str) -> None:
        self._engine = engine
        self._known = known
        self._namespace = namespace
        self._preloaded = False
        self.problem: str | None = NOT_YET

    async def run(self) -> None:
        """Keep house for ever."""
        retry = RETRY_FIRST
        while True:
            try:
                await self.once()
            except (*DATABASE_ERRORS, OSError) as error:
                why = NOT_MIGRATED if is_schema_missing(error) else explain(error)
                if self.problem != why:
                    log.warning("housekeeping.failed", error=explain(error), meaning=why)
                self.problem = why
                await asyncio.sleep(retry)
                retry = min(retry * 2, RETRY_MOST)
            else:
                self.problem, retry = None, RETRY_FIRST
                await asyncio.sleep(EVERY_SECONDS)

    async def once(self) -> None:
        """Do all of it; raises what the database raises."""
        async with self._engine.begin() as connection:
            await registry.ensure_defaults(connection, self._namespace)
        async with self._engine.begin() as connection:
            now = await database_now(connection)
            made, dropped = await partitions.maintain(connection, now)
        log.info("housekeeping.done", partitions_made=made, partitions_dropped=dropped)
        if not self._preloaded:
            log.info("ingest.vms_known", vms=await self._known.preload())
            self._preloaded = True
            _spare_the_collector()


def _spare_the_collector() -> None:
    """Have the garbage collector pass over what stays for good, as each look at it costs reports.

    What a report leaves behind has no circles; reference counting frees it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
