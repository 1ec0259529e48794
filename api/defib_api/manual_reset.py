"""A person's reset: written down as an intent, then followed until the operator has done it.

The API never talks to Proxmox. What it cannot see finished within its patience it answers with the
intent's id.
"""

import asyncio
import time
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import controls, reads
from defib_core.store.clock import database_now
from defib_core.store.intents import AlreadyUnfinished, ManualRequest
from defib_core.store.reads import ResetView

LOOK_EVERY_SECONDS = 0.1


class NoSuchVM(Exception):
    """The VM is gone."""


@dataclass(frozen=True, slots=True)
class InProgress:
    """Another reset of this VM is not finished; nothing was written."""

    intent_id: int


async def ask(
    engine: AsyncEngine, request: ManualRequest, patience_seconds: float
) -> ResetView | InProgress:
    """Write the request down and follow it; raise NoSuchVM.

    The same request by its key, asked again, is followed and not repeated.
    """
    async with engine.begin() as connection:
        now = await database_now(connection)
        asked = await controls.request_reset(connection, request, now)
    if asked is None:
        raise NoSuchVM
    if isinstance(asked, AlreadyUnfinished):
        return InProgress(asked.intent_id)
    return await _follow(engine, asked.intent_id, time.monotonic() + patience_seconds)


async def _follow(engine: AsyncEngine, intent_id: int, until: float) -> ResetView:
    while True:
        async with engine.connect() as connection:
            view = await reads.one_reset(connection, intent_id)
        if view is None:
            raise NoSuchVM
        if view.phase.is_finished or time.monotonic() >= until:
            return view
        await asyncio.sleep(LOOK_EVERY_SECONDS)
