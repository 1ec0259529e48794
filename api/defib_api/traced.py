"""A span around each request, where traces are wanted. Reports are none: they never come here.

Pure ASGI, and only installed where DEFIB_TRACING_URL is set.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from defib_api.envelope import METHODS, OTHER, REQUEST_ID
from defib_core.tracing import spans


class Traced:
    """The middleware around all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        tracing = spans.current()
        if scope["type"] != "http" or tracing is None:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else OTHER
        with tracing.request(method, Headers(scope=scope)) as made:

            async def told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route = getattr(scope.get("route"), "path", OTHER)
                    number = Headers(raw=message["headers"]).get(REQUEST_ID, "")
                    made.answered(route, message["status"], number)
                await send(message)

            await self._app(scope, receive, told)
