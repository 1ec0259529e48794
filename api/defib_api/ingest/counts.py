"""What became of the reports of this process, counted; /metrics shows it, and tests read it.

Counting only: no decision is made here.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """Since the process started."""

    answered: Counter[int] = field(default_factory=Counter)
    """Single reports, by the status of the answer; 0 for senders that hung up before it."""
    batches: Counter[int] = field(default_factory=Counter)
    """Batches, likewise."""
    batched: Counter[int] = field(default_factory=Counter)
    """Reports in batches that were taken, by their own status."""
    late: int = 0
    """Of those with status 200 the ones that went into the history only."""
    floods: int = 0
    """Reports refused because their VM had sent too many; they are in the 429s too."""
    timestamps_dropped: int = 0
    """Reports whose own clock was far in the past or the future; they were stored without it."""
    relay_proofs: int = 0
    """Proofs of relays written down."""
