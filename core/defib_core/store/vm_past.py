"""What a VM went through: its changes of state, and the times it was held."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.states import State

MOST = 1000
"""So many, the newest, of either; a VM that flaps for days has more."""


@dataclass(frozen=True, slots=True)
class TransitionView:
    """A change of state."""

    at: datetime
    before: State
    after: State
    reason: str


@dataclass(frozen=True, slots=True)
class HoldView:
    """An interval in which the VM was down and not reset."""

    reason: str
    message: str
    started_at: datetime
    ended_at: datetime | None


# Newest first along the index, so that a long past is not read to find a short one.
TRANSITIONS = text("""
SELECT at, from_state, to_state, reason FROM vm_transition
WHERE vm_id = :vm_id AND at > :since ORDER BY id DESC LIMIT :most
""")
HOLDS = text("""
SELECT reason, message, started_at, ended_at FROM hold
WHERE vm_id = :vm_id AND (ended_at IS NULL OR ended_at > :since) ORDER BY id DESC LIMIT :most
""")


async def transitions_of(
    connection: AsyncConnection, vm_id: int, now: datetime, span: timedelta
) -> Sequence[TransitionView]:
    """Read a VM's changes of state of the last `span`, oldest first."""
    bound = {"vm_id": vm_id, "since": now - span, "most": MOST}
    found = [
        TransitionView(row.at, State(row.from_state), State(row.to_state), row.reason)
        for row in await connection.execute(TRANSITIONS, bound)
    ]
    return found[::-1]


async def holds_of(
    connection: AsyncConnection, vm_id: int, now: datetime, span: timedelta
) -> Sequence[HoldView]:
    """Read the holds that reach into the last `span`, oldest first."""
    bound = {"vm_id": vm_id, "since": now - span, "most": MOST}
    found = [HoldView(**row._mapping) for row in await connection.execute(HOLDS, bound)]
    return found[::-1]
