"""Keeps background work running: what ends by an error is logged and begun again."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0


async def keep_running(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` until it returns; an error is a bug, logged, and no reason to stop."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("background.failed", work=name)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return
