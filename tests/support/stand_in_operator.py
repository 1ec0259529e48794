"""Takes up intents as the operator does, through the same store, with an outcome the test chose."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.actions import Action, Phase, PowerStep
from defib_core.store import execution
from defib_core.store.clock import database_now
from defib_core.store.engine import make_engine
from defib_core.store.execution import Claim, Intent

EPOCH = 1
LEAD = text(
    "UPDATE leader_lease SET holder = 'test', epoch = 1, expires_at = defib_now() + interval '1 h'"
)
MANAGE = text(
    "UPDATE vm SET namespace = 'defib', name = 'vm-' || id, uid = 'uid-' || id, generation = 1,"
    " object_created_at = defib_now(), managed_at = defib_now() WHERE uid IS NULL"
)
"""Give every VM a custom resource: nothing else is ever reset."""
LOOK_EVERY_SECONDS = 0.02

Outcome = Callable[[AsyncConnection, Intent, datetime], Awaitable[None]]


def finishes(phase: Phase, words: str | None) -> Outcome:
    """Send the reset, and let Proxmox's task end so."""

    async def outcome(connection: AsyncConnection, intent: Intent, now: datetime) -> None:
        claim = Claim(intent.id, 1, PowerStep.RESET, Action.RESET, "pve-node-1")
        assert await execution.claim(connection, claim, epoch=EPOCH, now=now)
        response = {"exitstatus": words or "OK"}
        await execution.record_sent(connection, intent.id, 1, "UPID:test", response)
        await execution.finish(
            connection, intent.id, phase=phase, error=words, response=response, now=now
        )

    return outcome


def cancels(reason: str, message: str) -> Outcome:
    """Hold it back."""

    async def outcome(connection: AsyncConnection, intent: Intent, now: datetime) -> None:
        await execution.cancel(connection, intent.id, reason=reason, message=message, now=now)

    return outcome


@asynccontextmanager
async def operator_that(database_url: str, outcome: Outcome) -> AsyncIterator[None]:
    """An operator that leads, for as long as the block lasts."""
    engine = make_engine(database_url, application="stand-in-operator")
    async with engine.begin() as connection:
        await connection.execute(LEAD)
        await connection.execute(MANAGE)

    async def work() -> None:
        while True:
            async with engine.begin() as connection:
                now = await database_now(connection)
                for intent in await execution.unfinished(connection):
                    await outcome(connection, intent, now)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await engine.dispose()
