"""Keeps the fleet in this process about a second old, for whoever asks."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from sqlalchemy.ext.asyncio import AsyncConnection

from defib_api.fleet.snapshot import Fleet, Known
from defib_api.fresh import Fresh
from defib_core.store import fleet_columns

Reading = Callable[[], AbstractAsyncContextManager[AsyncConnection]]

NAMES_SECONDS = 5.0
"""Names, nodes and labels are looked at this often; new VMs are seen at once."""


class FleetView:
    """The fleet as it was last seen."""

    def __init__(self, reading: Reading, version: Callable[[], Awaitable[int]]) -> None:
        """`version` says up to which change the fleet read after it is complete."""
        self._reading = reading
        self._version = version
        self._known: Known | None = None
        self._names_at = 0.0
        self._fresh = Fresh(self._read)

    async def now(self) -> Fleet:
        """Show the fleet, at most seconds old; raises what the database raises."""
        return await self._fresh.get()

    def forget(self) -> None:
        """Look anew for the next reader."""
        self._fresh.forget()
        self._names_at = 0.0

    async def _read(self) -> Fleet:
        version = await self._version()
        async with self._reading() as connection:
            known = self._known
            if known is not None and time.monotonic() - self._names_at < NAMES_SECONDS:
                figures = await fleet_columns.figures(connection)
                if figures.ids == known.names.ids:
                    return Fleet(known, figures, version)
            written, figures = await fleet_columns.both(connection)
        if known is None or known.written != written:
            known = await asyncio.to_thread(Known, written)
        self._known, self._names_at = known, time.monotonic()
        return Fleet(known, figures, version)
