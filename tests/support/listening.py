"""Listens to /api/events as the dashboard does, and keeps what it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from support.running_api import RunningApi
from support.waiting import eventually_async


@dataclass(frozen=True, slots=True)
class Event:
    """One event."""

    kind: str
    number: int
    data: dict[str, Any]


@dataclass(slots=True)
class Heard:
    """What one listener was told; `ended` once the stream is over."""

    events: list[Event] = field(default_factory=list)
    comments: int = 0
    ended: bool = False

    async def until(self, wanted: Callable[[Event], bool], *, what: str) -> Event:
        """Wait for an event."""

        async def find() -> Event | None:
            return next((one for one in self.events if wanted(one)), None)

        found = await eventually_async(find, what=what, deadline_seconds=60)
        assert found is not None
        return found

    async def change_of(self, vm_id: str, state: str) -> Event:
        """Wait until it is told that a VM is in a state."""
        return await self.until(
            lambda one: any(
                (vm["id"], vm.get("state")) == (vm_id, state) for vm in one.data.get("changes", ())
            ),
            what=f"{vm_id} is told to be {state}",
        )

    def take(self, lines: list[str]) -> None:
        """Take in one event's lines."""
        fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
        self.comments += sum(line.startswith(":") for line in lines)
        if "event" in fields:
            data = json.loads(fields["data"])
            self.events.append(Event(fields["event"], int(fields["id"]), data))


@asynccontextmanager
async def listening(api: RunningApi, last_seen: int | None = None) -> AsyncIterator[Heard]:
    """Listen while the block runs."""
    heard = Heard()
    headers = {**api.admin}
    if last_seen is not None:
        headers["Last-Event-ID"] = str(last_seen)
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=None)
    task = asyncio.create_task(_listen(client, headers, heard))
    try:
        await heard.until(lambda _: True, what="the first event")
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.aclose()


async def _listen(client: httpx.AsyncClient, headers: dict[str, str], heard: Heard) -> None:
    async with client.stream("GET", "/api/events", headers=headers) as answer:
        assert answer.status_code == httpx.codes.OK, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines: list[str] = []
        async for line in answer.aiter_lines():
            if line:
                lines.append(line)
            else:
                heard.take(lines)
                lines = []
    heard.ended = True
