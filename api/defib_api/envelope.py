"""Around every request but the reports: number, duration, safe headers, a bounded body, no crash.

Pure ASGI: Starlette's BaseHTTPMiddleware costs more than all the rest together.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Mapping

import structlog
from prometheus_client import Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from defib_api.errors import unexpected

log = structlog.get_logger(__name__)

REQUEST_ID = "x-request-id"
SANE_ID = re.compile(r"\A[A-Za-z0-9._-]{1,64}\Z")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
"""Stands for every path that is no route, such as the page's files, and every other method."""
MOST_BYTES = 64 * 1024
BODY_SECONDS = 10.0
TOO_LARGE = f"the body is larger than {MOST_BYTES} bytes"
TOO_SLOW = f"the body did not come within {BODY_SECONDS:.0f} s; send it again"
CLOSED = {"Connection": "close"}

SAFE: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # What is no page loads nothing and runs nothing, whatever somebody got into it.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""Headers of every answer; a page brings a policy of its own."""
HTTPS_ONLY: Mapping[str, str] = {"strict-transport-security": "max-age=31536000"}


class Envelope:
    """The outermost middleware of the FastAPI application."""

    def __init__(self, app: ASGIApp, requests: Histogram, *, https: bool = False) -> None:
        """`requests` takes the seconds until an answer begins, by method, route and status."""
        self._app = app
        self._requests = requests
        self._headers = {**SAFE, **HTTPS_ONLY} if https else SAFE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; answer 500, and log, where it breaks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _number(Headers(scope=scope).get(REQUEST_ID))
        scope.setdefault("state", {})["request_id"] = request_id
        dressed = _Dressed(scope, send, request_id, self._requests, self._headers)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, _bounded(receive), dressed)
            except Exception:
                log.exception("request.failed", path=scope["path"])
                if dressed.started:
                    raise
                await unexpected(request_id)(scope, receive, dressed)


class _Dressed:
    """Adds the headers of every answer."""

    def __init__(
        self,
        scope: Scope,
        send: Send,
        request_id: str,
        requests: Histogram,
        more: Mapping[str, str],
    ) -> None:
        self._scope = scope
        self._requests = requests
        self._began = time.perf_counter()
        self._is_api = scope["path"].startswith("/api")
        self._send = send
        self._request_id = request_id
        self._more = more
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self._measure(message["status"])
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self._request_id
            for name, value in self._more.items():
                headers.setdefault(name, value)
            if self._is_api:
                headers.setdefault("cache-control", "no-store")
        await self._send(message)

    def _measure(self, status: int) -> None:
        """Note how long the answer took to begin. The route, not the path: paths have no end."""
        route = getattr(self._scope.get("route"), "path", OTHER)
        method = self._scope["method"] if self._scope["method"] in METHODS else OTHER
        seconds = time.perf_counter() - self._began
        self._requests.labels(method, route, str(status)).observe(seconds)


def _number(given: str | None) -> str:
    """Keep the number a proxy gave the request, if it is sane; else give it one."""
    return given if given is not None and SANE_ID.match(given) else secrets.token_hex(8)


def _bounded(receive: Receive) -> Receive:
    read, is_whole = 0, False
    deadline = asyncio.get_running_loop().time() + BODY_SECONDS

    async def bounded() -> Message:
        nonlocal read, is_whole
        if is_whole:
            return await receive()  # Nothing comes any more but that the client hangs up.
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, TOO_SLOW, CLOSED) from error
        is_whole = not message.get("more_body", False)
        read += len(message.get("body", b""))
        if read > MOST_BYTES:
            # Not closed here: uvicorn passes over the rest, so that the sender sees the answer.
            raise HTTPException(413, TOO_LARGE)
        return message

    return bounded
