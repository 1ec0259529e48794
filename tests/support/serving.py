"""A uvicorn server in the test's own event loop, on a free port."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from support.waiting import eventually_async


@asynccontextmanager
async def served(server: uvicorn.Server) -> AsyncIterator[int]:
    """Serve until the block ends, then stop as on SIGTERM; gives the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        task = asyncio.create_task(server._serve([listener]))

        async def started() -> bool:
            assert not task.done(), task
            return server.started

        await eventually_async(started, what="uvicorn listens", deadline_seconds=60)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task
