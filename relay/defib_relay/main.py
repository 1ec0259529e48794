"""Builds the relay and runs it: one process, one folder, one API."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import structlog
import uvicorn
from starlette.types import Receive, Scope, Send

from defib_api.ingest.flood import Flood
from defib_api.protocol import GuardedProtocol
from defib_core.config.logs import configure_logging
from defib_core.config.metrics_port import serving_metrics
from defib_core.config.settings import RelaySettings
from defib_relay.forwarding import WAIT_SECONDS, Forwarding
from defib_relay.gathering import Gathering
from defib_relay.metrics import registry_of
from defib_relay.proven import Proven
from defib_relay.refusals import Refusals
from defib_relay.spool import Spool
from defib_relay.taking import Taking

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 10.0
LAST_SECONDS = 3.0
AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Relay:
    """The parts."""

    spool: Spool
    gathering: Gathering
    forwarding: Forwarding
    proven: Proven
    client: httpx.AsyncClient
    settings: RelaySettings

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the background work; at the end, keep what was taken in."""
        self.spool.open()
        self.proven.open()
        await self.gathering.prove()
        gathering = asyncio.create_task(self.gathering.run())
        forwarding = asyncio.create_task(self._forward())
        try:
            yield
        finally:
            self.gathering.stop()
            await asyncio.wait({gathering}, timeout=DRAIN_SECONDS)
            forwarding.cancel()
            await asyncio.gather(forwarding, return_exceptions=True)
            await self.client.aclose()
            self.spool.close()

    async def _forward(self) -> None:
        """Forward for ever; an error of ours is logged, and no end."""
        while True:
            try:
                await self.forwarding.run()
            except Exception:
                log.exception("relay.forwarding_failed")
                await asyncio.sleep(AGAIN_SECONDS)

    async def lifespan(self, _: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI's protocol of start and end."""
        await receive()
        async with contextlib.AsyncExitStack() as stack:
            try:
                stack.enter_context(serving_metrics(self.settings, registry_of(self)))
                await stack.enter_async_context(self.running())
            except Exception as error:  # noqa: BLE001 - uvicorn says it and ends
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def create(settings: RelaySettings) -> tuple[Relay, Taking]:
    """Put the parts together; nothing is opened before the lifespan starts."""
    spool = Spool(settings.relay_folder, settings.relay_most_megabytes * 1024 * 1024)
    gathering, refusals, proven = Gathering(spool), Refusals(), Proven(settings.relay_folder)
    ca = settings.api_ca_file
    client = httpx.AsyncClient(
        base_url=settings.api_url,
        verify=ssl.create_default_context(cafile=None if ca is None else str(ca)),
        headers={
            "X-Relay-Token": settings.relay_token.get_secret_value(),
            "Content-Type": "application/json",
        },
        timeout=WAIT_SECONDS,
        trust_env=False,
    )
    forwarding = Forwarding(spool, gathering, refusals, proven, client)
    relay = Relay(spool, gathering, forwarding, proven, client, settings)
    taking = Taking(
        spool,
        gathering,
        forwarding,
        refusals=refusals,
        proven=proven,
        flood=Flood(settings.report_limit_per_minute),
        lifespan=relay.lifespan,
    )
    return relay, taking


def server_config(app: Taking, settings: RelaySettings, *, loop: str = "uvloop") -> uvicorn.Config:
    """Say how the process serves; tests bring a loop of their own."""
    return uvicorn.Config(
        app,
        host=settings.relay_host,
        port=settings.relay_port,
        loop=loop,
        http=GuardedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=20,
    )


def serve(settings: RelaySettings) -> None:
    """Run until SIGTERM or SIGINT; what was taken in is on disk before it ends."""
    configure_logging(settings.log_level, settings.log_format)
    _, app = create(settings)
    uvicorn.Server(server_config(app, settings)).run()
