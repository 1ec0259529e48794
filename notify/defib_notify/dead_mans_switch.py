"""Asks for an address again and again while Defib is well; whoever watches it alarms on silence.

It is the one alarm that works when everything of ours is dead. Well means: reports are stored, an
operator leads and sweeps.
"""

import asyncio
import ssl

import httpx
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import wellness
from defib_core.store.failures import DATABASE_ERRORS, explain
from defib_notify.configuration import DeadMansSwitch
from defib_notify.guard import Networks, guarded
from defib_notify.metrics import Metrics

log = structlog.get_logger(__name__)

WAIT_SECONDS = 10.0


class Switch:
    """Pings one address."""

    def __init__(
        self,
        engine: AsyncEngine,
        switch: DeadMansSwitch,
        allowed: Networks,
        metrics: Metrics,
        *,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._engine = engine
        self._switch = switch
        self._allowed = allowed
        self._metrics = metrics
        self._trust = trust
        self._why: str | None = None

    async def run(self) -> None:
        """Ping for ever."""
        while True:
            await self.once()
            await asyncio.sleep(self._switch.every_seconds)

    async def once(self) -> None:
        """Ping, unless something is wrong."""
        why = await self._trouble()
        if why is not None:
            self._note("withheld", why)
            return
        try:
            with guarded(self._allowed):
                async with httpx.AsyncClient(
                    trust_env=False, timeout=WAIT_SECONDS, verify=self._trust or True
                ) as http:
                    (await http.get(self._switch.url)).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self._note("failed", type(error).__name__)
        else:
            self._note("sent", None)

    async def _trouble(self) -> str | None:
        try:
            async with self._engine.connect() as connection:
                return await wellness.trouble(connection)
        except (*DATABASE_ERRORS, OSError) as error:
            return explain(error)

    def _note(self, outcome: str, why: str | None) -> None:
        self._metrics.pings.labels(outcome).inc()
        if why != self._why:
            log.log(
                20 if why is None else 30, "dead_mans_switch", outcome=outcome, why=why or "well"
            )
        self._why = why
