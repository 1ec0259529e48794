"""How many reports of one VM a process takes in a while; what is beyond is refused before it costs.

The VM is the identity, not the key: a shared key is many VMs. Samples for the history have an
account of their own, as an agent that was cut off for hours brings them all at once.
"""

import time
from collections import Counter
from collections.abc import Callable, Hashable

WINDOW_SECONDS = 10.0
LATE_FACTOR = 100
"""So many times more samples for the history than reports."""


class TooOften(Exception):
    """A VM has sent more than it may; `seconds` says when it may send again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Flood:
    """Counts by VM in windows of ten seconds. `per_minute` 0 limits nothing."""

    def __init__(self, per_minute: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most = max(1, round(per_minute * WINDOW_SECONDS / 60)) if per_minute else 0
        self._monotonic = monotonic
        self._until = 0.0
        self._reports: Counter[Hashable] = Counter()
        self._late: Counter[Hashable] = Counter()

    def admit(self, vm: Hashable, *, late: bool = False) -> None:
        """Count a report of a VM; raise TooOften where it is one too many."""
        if not self._most:
            return
        now = self._monotonic()
        if now >= self._until:
            self._until = now + WINDOW_SECONDS
            self._reports.clear()
            self._late.clear()
        counts, most = (
            (self._late, self._most * LATE_FACTOR) if late else (self._reports, self._most)
        )
        sent = counts.get(vm, 0)
        if sent >= most:
            raise TooOften(max(1, round(self._until - now)))
        counts[vm] = sent + 1
