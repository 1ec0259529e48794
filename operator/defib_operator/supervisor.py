"""Keeps the operator's loops running: each restarted after a failure, all stopped together.

A loop that fails is logged with its error and started again after a pause; a loop never takes
another one down.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from defib_core.store.failures import explain, is_away
from defib_operator.kube import KubernetesError
from defib_operator.leadership import NotLeading

log = structlog.get_logger(__name__)

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=5)
"""Short: what a loop waits for after an outage, everybody waits for."""
FINE_AFTER = timedelta(seconds=30)
"""A loop that ran this long begins with a short pause again."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A task that should never end by itself."""

    name: str
    run: Callable[[], Awaitable[None]]


def _unnoted(loop: str) -> None:
    """Note nothing."""


async def supervise(
    loops: list[Loop], stop: asyncio.Event, note_failure: Callable[[str], None] = _unnoted
) -> None:
    """Run all loops until `stop` is set, then cancel them and wait for their end.

    `note_failure` is told the name of each loop that failed.
    """
    tasks = [asyncio.create_task(_keep(loop, note_failure), name=loop.name) for loop in loops]
    try:
        await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep(loop: Loop, note_failure: Callable[[str], None]) -> None:
    pause = FIRST_PAUSE
    clock = asyncio.get_running_loop()
    while True:
        started = clock.time()
        try:
            await loop.run()
            log.warning("loop_ended", loop=loop.name)
        except NotLeading:
            log.info("loop_waits_to_lead", loop=loop.name)
        except KubernetesError as error:
            note_failure(loop.name)
            log.warning("loop_waits", loop=loop.name, error=str(error))
        except Exception as error:
            note_failure(loop.name)
            if is_away(error):
                log.warning("loop_waits", loop=loop.name, error=explain(error))
            else:
                log.exception("loop_failed", loop=loop.name, again_in=pause.total_seconds())
        if clock.time() - started > FINE_AFTER.total_seconds():
            pause = FIRST_PAUSE
        await asyncio.sleep(pause.total_seconds())
        pause = min(pause * 2, LONGEST_PAUSE)


async def every(interval: timedelta, act: Callable[[], Awaitable[object]]) -> None:
    """Do something again and again; the interval is from start to start, never overlapping."""
    clock = asyncio.get_running_loop()
    while True:
        due = clock.time() + interval.total_seconds()
        await act()
        await asyncio.sleep(max(0.0, due - clock.time()))
