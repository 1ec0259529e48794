"""Keys that the API does not know, remembered for a minute: their agents are to hear of it.

What comes under them is forwarded all the same. Whoever reports under a key that was revoked is
alive, and only the API can tell such a key from one that never was.
"""

import time
from collections.abc import Callable

REMEMBERED_SECONDS = 60.0
MOST = 10_000


class Refusals:
    """By the key's digest."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._refused: dict[str, tuple[float, str]] = {}

    def remember(self, digest: str, why: str) -> None:
        """The API refused this key just now."""
        if len(self._refused) >= MOST:
            self._refused.pop(next(iter(self._refused)))
        self._refused[digest] = (self._monotonic() + REMEMBERED_SECONDS, why)

    def why(self, digest: str) -> str | None:
        """Why the API refuses this key; None where it is not known to."""
        until, why = self._refused.get(digest, (0.0, ""))
        return why if until > self._monotonic() else None
