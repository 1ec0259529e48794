"""Keeps something that is costly to make for about a second, and makes it once at a time.

While it is a little too old, it is still given out and a new one is made behind it; so under load
nobody waits. Too old, or not there yet, everybody waits for the same one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

FRESH_SECONDS = 1.0
USABLE_SECONDS = 2.0
"""So long beyond being fresh it is given out while the next is made."""
REST_FACTOR = 4.0
"""What took long to make is kept longer: at most a fifth of the time is spent on making it."""


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    value: T
    made_at: float
    took: float

    def age(self) -> float:
        """Seconds beyond being fresh; negative while it is."""
        return time.monotonic() - self.made_at - max(FRESH_SECONDS, REST_FACTOR * self.took)


class Fresh(Generic[T]):
    """One such thing."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._kept: _Kept[T] | None = None
        self._flight: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Give it out; raises what the making raises, where there is nothing usable."""
        kept = self._kept
        if kept is not None and kept.age() < 0:
            return kept.value
        flight = self._flight or self._begin()
        if kept is not None and kept.age() < USABLE_SECONDS:
            return kept.value
        return await asyncio.shield(flight)

    def forget(self) -> None:
        """Drop what is known to be old; whoever asks next waits for a new one."""
        self._kept = None
        self._flight = None

    def _begin(self) -> asyncio.Task[T]:
        flight = asyncio.create_task(self._fly())
        self._flight = flight
        flight.add_done_callback(self._land)
        return flight

    async def _fly(self) -> T:
        began = time.monotonic()
        value = await self._make()
        if self._flight is asyncio.current_task():
            self._kept = _Kept(value, began, time.monotonic() - began)
        return value

    def _land(self, done: asyncio.Task[T]) -> None:
        if self._flight is done:
            self._flight = None
        if not done.cancelled():
            done.exception()  # Whoever waited has it; if nobody did, the next one asks again.
