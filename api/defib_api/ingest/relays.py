"""The relays this process knows, and the writing down of their proofs."""

import asyncio
import time
from collections.abc import Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_api.keys import KeyTable
from defib_core.store import relays as store
from defib_core.store.failures import DATABASE_ERRORS, explain
from defib_core.store.relays import KnownRelay, Said

log = structlog.get_logger(__name__)

PROVE_SECONDS = 5.0
EVERY = store.PROVE_EVERY.total_seconds()


class Relays:
    """Who may forward reports, and who was heard of when."""

    def __init__(
        self,
        engine: AsyncEngine,
        keys: KeyTable[KnownRelay],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = keys
        self._engine = engine
        self._monotonic = monotonic
        self._proved: dict[int, float] = {}

    async def prove(self, relay: KnownRelay, said: Said) -> bool:
        """Write down, at most once a second, that a relay brought what it had.

        A failure is logged only: the reports are stored, and the relay proves itself again soon.
        """
        now = self._monotonic()
        if now - self._proved.get(relay.id, float("-inf")) < EVERY:
            return False
        self._proved[relay.id] = now
        try:
            async with asyncio.timeout(PROVE_SECONDS), self._engine.begin() as connection:
                await store.prove(connection, relay.id, said)
        except (*DATABASE_ERRORS, OSError) as error:
            log.warning("relay.proof_not_written", relay=relay.name, error=explain(error))
            del self._proved[relay.id]
            return False
        return True
