"""Builds the API process and runs it: uvicorn on uvloop and httptools, one process.

More replicas are more processes behind a load balancer; each has its own writer.
"""

import uvicorn
from starlette.types import ASGIApp

from defib_api.app import create_app
from defib_api.protocol import GuardedProtocol
from defib_api.tls import Tls
from defib_core.config.logs import configure_logging
from defib_core.config.settings import ApiSettings
from defib_core.tracing.spans import require

KEEP_ALIVE_SECONDS = 5
GRACEFUL_SECONDS = 20
BACKLOG = 4096


def server_config(
    app: ASGIApp, settings: ApiSettings, *, tls: Tls | None = None, loop: str = "uvloop"
) -> uvicorn.Config:
    """Say how the process serves; tests bring a loop of their own."""
    return uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        loop=loop,
        http=GuardedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        ssl_context_factory=None if tls is None else lambda _, __: tls.context,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )


def serve(settings: ApiSettings) -> None:
    """Run until SIGTERM or SIGINT; what was taken in is stored before it ends."""
    require(settings)
    configure_logging(settings.log_level, settings.log_format)
    tls = Tls.of(settings)
    uvicorn.Server(server_config(create_app(settings, tls), settings, tls=tls)).run()
