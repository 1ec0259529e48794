"""Wait for a condition in a test: poll with a deadline, and say what was missing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

PAUSE_SECONDS = 0.05

Answer = TypeVar("Answer")


def eventually(
    ask: Callable[[], Answer],
    *,
    what: str,
    deadline_seconds: float = 10,
    why: Callable[[], object] | None = None,
) -> Answer:
    """The first truthy answer; fails the test with `what` and the last answer at the deadline.

    `why` is asked then for what else helps to understand the failure.
    """
    end = time.monotonic() + deadline_seconds
    while not (answer := ask()):
        assert time.monotonic() < end, (
            f"not within {deadline_seconds} s: {what} (last: {answer!r}) {why() if why else ''}"
        )
        time.sleep(PAUSE_SECONDS)
    return answer


async def eventually_async(
    ask: Callable[[], Awaitable[Answer]], *, what: str, deadline_seconds: float = 10
) -> Answer:
    """As `eventually`, for a coroutine function."""
    end = time.monotonic() + deadline_seconds
    while not (answer := await ask()):
        assert time.monotonic() < end, f"not within {deadline_seconds} s: {what} (last: {answer!r})"
        await asyncio.sleep(PAUSE_SECONDS)
    return answer
