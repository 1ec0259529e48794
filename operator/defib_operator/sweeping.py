"""Sweeps as often as the SystemConfigs ask, for as long as this replica leads."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import registry, sweep
from defib_operator.judging import shortest_interval
from defib_operator.leadership import NotLeading
from defib_operator.probes import Pulse
from defib_operator.sweep import Sweep

STANDBY = timedelta(milliseconds=500)
BREATH = timedelta(milliseconds=100)
"""Rest between sweeps that take longer than their interval."""


@dataclass(frozen=True, slots=True)
class Sweeping:
    """The sweep's loop."""

    engine: AsyncEngine
    sweep: Sweep
    namespace: str
    pulse: Pulse = field(default_factory=Pulse)

    async def run(self) -> None:
        """Sweep again and again."""
        async with self.engine.begin() as connection:
            await registry.ensure_defaults(connection, self.namespace)
        clock = asyncio.get_running_loop()
        while True:
            self.pulse.beat()
            due = clock.time() + (await self._once()).total_seconds()
            await asyncio.sleep(max(BREATH.total_seconds(), due - clock.time()))

    async def _once(self) -> timedelta:
        """Sweep, and say from this sweep's start how long to wait for the next."""
        try:
            await self.sweep.tick()
        except NotLeading:
            return STANDBY
        async with self.engine.connect() as connection:
            return shortest_interval(await sweep.configs(connection))
