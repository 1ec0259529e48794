"""Several connections at once: a fleet on a database of its own, and work that waits for a lock."""
# ruff: noqa: ANN401 - what rivals return is of any type

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from support.stored import Stored, stored_in
from support.waiting import eventually_async

T = TypeVar("T")

# Not pg_stat_activity: within a transaction that stands still at its first look.
WAITING = text("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = :pid AND NOT granted)")


@asynccontextmanager
async def committed(engine: AsyncEngine) -> AsyncIterator[Stored]:
    """The store in a transaction that is committed, for others to see."""
    async with stored_in(engine) as stored:
        yield stored
        await stored.connection.commit()


@dataclass(frozen=True, slots=True)
class Rival:
    """Work of another connection that has begun, and stands still or is done."""

    task: asyncio.Task[Any]

    async def result(self) -> Any:
        """What came of it; raises what it raised, a deadlock above all."""
        return await asyncio.wait_for(self.task, 20)


async def begin(
    engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]], watch: AsyncConnection
) -> Rival:
    """Begin work in a transaction of its own; return when it waits for a lock, or is done."""
    pids: list[int] = []

    async def run() -> T:
        async with engine.begin() as connection:
            pid = await connection.execute(text("SELECT pg_backend_pid()"))
            pids.append(pid.scalar_one())
            return await work(connection)

    task = asyncio.create_task(run())

    async def stands_still() -> bool:
        if task.done() or not pids:
            return task.done()
        return bool((await watch.execute(WAITING, {"pid": pids[0]})).scalar_one())

    await eventually_async(stands_still, what="the other connection waits, or is done")
    return Rival(task)


async def at_once(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Run all of it together; raises the first error."""
    return list(await asyncio.gather(*work))
