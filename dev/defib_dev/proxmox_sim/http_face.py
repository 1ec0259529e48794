"""The simulated API over HTTPS: reason phrases, delays, and connections closed as Proxmox does.

Knows nothing of VMs: it turns a request into `api.handle`'s and gives back what that says.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta

from aiohttp import web

from defib_dev.proxmox_sim.api import handle
from defib_dev.proxmox_sim.call import Answer, Fate, Request
from defib_dev.proxmox_sim.faults import ApiMode
from defib_dev.proxmox_sim.model import Datacenter

HANG = timedelta(minutes=10)
"""Longer than any client waits."""
CLOSES_FROM = 400
MAX_BODY = 512 * 1024
BROKEN_BODY = Answer(status=400, reason="malformed request body")


class HttpFace:
    """One address of the cluster. Start it, and have `follow_mode` called when the mode changes."""

    def __init__(
        self,
        dc: Datacenter,
        clock: Callable[[], datetime],
        *,
        unauthorized_delay: timedelta = timedelta(seconds=3),
    ) -> None:
        self._dc = dc
        self._clock = clock
        self._unauthorized_delay = unauthorized_delay
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._context: ssl.SSLContext | None = None
        self._host = ""
        self.port = 0

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> None:
        """Listen; port 0 takes a free one and puts it in `port`."""
        self._host, self.port, self._context = host, port, context
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await self._runner.setup()
        await self._listen()

    async def close(self) -> None:
        """Stop listening and cut what is open."""
        self._deafen()
        if self._runner is not None:
            await self._runner.cleanup()

    async def follow_mode(self) -> None:
        """Refuse connections while the API is unreachable, and take them again after."""
        if self._dc.mode is ApiMode.UNREACHABLE:
            self._deafen()
        elif self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        assert self._runner is not None
        assert self._runner.server is not None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._runner.server, self._host, self.port, ssl=self._context
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _deafen(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        if self._runner is not None and self._runner.server is not None:
            for connection in self._runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(self._dc.timing.latency.total_seconds())
        asked = await _asked(request)
        answer = handle(self._dc, asked, self._clock()) if asked is not None else BROKEN_BODY
        if answer.is_unauthorized:
            await asyncio.sleep(self._unauthorized_delay.total_seconds())
        if answer.fate is not Fate.ANSWER:
            await _leave_waiting(request, answer.fate)
        return _response(answer)


async def _asked(request: web.Request) -> Request | None:
    """Take parameters from the query and the body, a form or JSON, as Proxmox does."""
    params = dict(request.query)
    try:
        if request.content_type == "application/json" and request.can_read_body:
            params |= {key: str(value) for key, value in (await request.json()).items()}
        else:
            params |= {key: str(value) for key, value in (await request.post()).items()}
    except (ValueError, AttributeError):
        return None
    return Request(
        method=request.method,
        path=request.path,
        params=params,
        authorization=request.headers.get("Authorization"),
    )


async def _leave_waiting(request: web.Request, fate: Fate) -> None:
    """Let the caller wait until it gives up, or cut the connection at once."""
    if fate is Fate.HANG:
        await asyncio.sleep(HANG.total_seconds())
    if request.transport is not None:
        request.transport.abort()


def _response(answer: Answer) -> web.Response:
    response = web.Response(status=answer.status, reason=answer.reason)
    if isinstance(answer.body, str):
        response.text, response.content_type = answer.body, "text/html"
    elif answer.body is not None:
        response.text = json.dumps(answer.body)
        response.content_type = "application/json"
    if answer.status >= CLOSES_FROM:
        response.force_close()
    return response
