"""A small real HTTP server that takes reports and answers as it is told."""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from support.waiting import eventually_async

REPORT, BATCH = "/api/health/report", "/api/health/reports"


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def report(self) -> dict[str, Any]:
        """The body read as JSON."""
        read: dict[str, Any] = json.loads(self.body)
        return read


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says to one report."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ReportServer:
    """Answers as `answers` say, one after the other, and afterwards accepts everything."""

    port: int = 0
    scheme: str = "http"
    answers: deque[Answer] = field(default_factory=deque)
    received: list[Received] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Answers wait for it; it is open unless a test closes it."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://localhost:{self.port}"

    @property
    def reports(self) -> list[Received]:
        """The single reports."""
        return [one for one in self.received if one.path == REPORT]

    @property
    def batches(self) -> list[Received]:
        """The batches of kept reports."""
        return [one for one in self.received if one.path == BATCH]

    def statuses(self) -> list[str]:
        """The status word of each report."""
        return [one.report["status"] for one in self.reports]

    async def until(self, count: int) -> None:
        """Wait for so many reports."""

        async def reported() -> bool:
            return len(self.reports) >= count

        await eventually_async(reported, what=f"{count} reports", deadline_seconds=60)

    async def handle(self, request: web.Request) -> web.Response:
        """Take one report."""
        body = await request.read()
        self.received.append(Received(request.path, dict(request.headers), body))
        await self.gate.wait()
        if self.answers:
            answer = self.answers.popleft()
            return web.Response(status=answer.status, text=answer.body, headers=answer.headers)
        if request.path == BATCH:
            count = len(json.loads(body)["reports"])
            return web.json_response({"success": True, "accepted": count, "rejected": []})
        name = json.loads(body)["hostname"]
        told = {"success": True, "message": f"Health report received for {name}"}
        return web.json_response(told)


@asynccontextmanager
async def report_server(
    *, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ReportServer]:
    """Run a server on loopback."""
    server = ReportServer(scheme="https" if tls else "http")
    server.gate.set()
    app = web.Application()
    app.router.add_post(REPORT, server.handle)
    app.router.add_post(BATCH, server.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        server.gate.set()
        await runner.cleanup()
