"""Counts failed proofs of identity by the address they come from, and says when it is enough.

In memory, bounded, of this process alone: it slows guessing down and keeps the log readable. What
makes guessing hopeless is that tokens are 256 random bits.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

MOST = 20
"""Failures from one address that are answered at once."""
WINDOW_SECONDS = 60.0
ADDRESSES_MOST = 10_000


@dataclass(slots=True)
class _Failures:
    count: int
    since: float


class FailedAttempts:
    """Failures in the last minute, by address."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._by_address: dict[str, _Failures] = {}

    def wait(self, address: str) -> int:
        """Say how many seconds the address has to wait before it may try again; 0: none."""
        failures = self._by_address.get(address)
        if failures is None or failures.count < MOST:
            return 0
        left = failures.since + WINDOW_SECONDS - self._monotonic()
        if left <= 0:
            del self._by_address[address]
            return 0
        return int(left) + 1

    def failed(self, address: str) -> None:
        """Count a failure."""
        now = self._monotonic()
        failures = self._by_address.get(address)
        if failures is None or now - failures.since >= WINDOW_SECONDS:
            self._make_room()
            self._by_address[address] = _Failures(1, now)
        else:
            failures.count += 1

    def _make_room(self) -> None:
        if len(self._by_address) >= ADDRESSES_MOST:
            self._by_address.pop(next(iter(self._by_address)))
