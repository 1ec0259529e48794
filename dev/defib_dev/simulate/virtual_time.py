"""Virtual time: an event loop that never waits, and the clocks that follow from it.

When nothing is ready the loop jumps to its next timer. It serves no sockets: whatever is called
within it must answer at once (see `blocking`).
"""

import asyncio
import selectors
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)
"""What every clock shows when a scenario begins."""
MICROSECONDS = 6


class NothingLeftToDo(RuntimeError):
    """Every task waits for something that no timer will bring: a fault of the simulator."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time moves by jumps."""

    def __init__(self) -> None:
        self._moment = 0.0
        super().__init__(_NeverWaits(self))

    def time(self) -> float:
        """Give the seconds since the loop was made."""
        return self._moment

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._moment += seconds


class _NeverWaits(selectors.SelectSelector):
    """What asyncio would sleep, it jumps."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass at once. No socket is ever ready."""
        if timeout is None:
            raise NothingLeftToDo("every task waits, and no timer is set")
        if timeout > 0:
            self._loop.jump(timeout)
        return []


@dataclass(slots=True)
class Timeline:
    """The clocks of one scenario."""

    loop: asyncio.AbstractEventLoop
    skipped: float = 0.0
    """Time that passed without any timer: see `skipping`."""
    database_ahead: timedelta = timedelta(0)
    """How far the database's clock has jumped."""

    @property
    def elapsed(self) -> float:
        """Seconds since the scenario's start; monotonic."""
        return round(self.loop.time() + self.skipped, MICROSECONDS)

    @property
    def now(self) -> datetime:
        """What a right clock shows: Proxmox's, and the guests'."""
        return START + timedelta(seconds=self.elapsed)

    @property
    def database_now(self) -> datetime:
        """What the database's clock shows."""
        return self.now + self.database_ahead

    def settings(self) -> Mapping[str, str]:
        """Give the settings by which the database's sessions learn the time."""
        return {
            "defib.now": self.database_now.isoformat(),
            "defib.elapsed": f"{self.elapsed:.{MICROSECONDS}f}",
        }

    async def until(self, elapsed: float) -> None:
        """Sleep until a moment of the scenario."""
        await asyncio.sleep(max(0.0, elapsed - self.elapsed))
