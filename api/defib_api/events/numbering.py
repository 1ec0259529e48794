"""Follows numbers that may be seen out of order. Pure.

A number is given out before its transaction ends. So 12 may be seen before 11, and 11 may never
come, when its transaction failed. All numbers up to `done_until` have been seen or will never come:
that is what a listener is told, so that it can go on from there wherever it connects next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class _Fence:
    """All transactions that may still bring a number up to `number` are before `next_one`."""

    number: int
    next_one: int


@dataclass(slots=True)
class Numbers:
    """What was seen so far."""

    done_until: int
    ahead: set[int] = field(default_factory=set)
    """Seen, above a number that is missing."""
    _fence: _Fence | None = None

    def saw(self, numbers: Sequence[int], *, oldest: int, next_one: int) -> None:
        """Take in what was seen at one moment, and the transactions under way then."""
        self.ahead.update(numbers)
        self._advance()
        fence = self._fence
        if fence is not None and oldest >= fence.next_one:
            # Whoever could bring what is missing has ended, before this look.
            self.done_until = max(self.done_until, fence.number)
            self._fence = None
            self._advance()
        if self.ahead and self._fence is None:
            self._fence = _Fence(max(self.ahead), next_one)

    def _advance(self) -> None:
        while self.done_until + 1 in self.ahead:
            self.done_until += 1
        self.ahead = {number for number in self.ahead if number > self.done_until}
        if not self.ahead:
            self._fence = None
