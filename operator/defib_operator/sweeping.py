"""Sweeps as often as the SystemConfigs ask, for as long as this replica leads."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
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
BEAT_EVERY = timedelta(seconds=10)
"""The loop turns while it waits: an interval may be longer than the patience of /livez."""


@dataclass(frozen=True, slots=True)
class Sweeping:
    """The sweep's loop."""

    engine: AsyncEngine
    sweep: Sweep
    namespace: str
    configs_changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by whoever puts a SystemConfig in force: no need to wait out the old interval."""
    pulse: Pulse = field(default_factory=Pulse)
    note: Callable[[float], None] = lambda _: None
    """Takes the seconds that each sweep took."""

    async def run(self) -> None:
        """Sweep again and again."""
        async with self.engine.begin() as connection:
            await registry.ensure_defaults(connection, self.namespace)
        clock = asyncio.get_running_loop()
        while True:
            self.configs_changed.clear()
            due = clock.time() + (await self._once()).total_seconds()
            await asyncio.sleep(BREATH.total_seconds())
            await self._wait(due)

    async def _once(self) -> timedelta:
        """Sweep, and say from this sweep's start how long to wait for the next."""
        self.pulse.beat()
        try:
            swept = await self.sweep.tick()
        except NotLeading:
            return STANDBY
        self.note(swept.seconds)
        async with self.engine.connect() as connection:
            return shortest_interval(await sweep.configs(connection))

    async def _wait(self, due: float) -> None:
        """Wait until a sweep is due, or until a SystemConfig has changed."""
        clock = asyncio.get_running_loop()
        while (left := due - clock.time()) > 0:
            self.pulse.beat()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, BEAT_EVERY.total_seconds())):
                    await self.configs_changed.wait()
                    return
