"""Liveness and readiness over HTTP, for the kubelet and for people.

Alive: the loops turn. Ready: the database answers. Being a standby is being ready.
"""

import time
from dataclasses import dataclass, field
from datetime import timedelta

from aiohttp import web
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.config.settings import SettingsError
from defib_operator.leadership import Leadership

SWEEP_OVERDUE = timedelta(seconds=120)


@dataclass(slots=True)
class Pulse:
    """When the sweep's loop last turned, leading or not."""

    at: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        """It turned just now."""
        self.at = time.monotonic()

    @property
    def is_overdue(self) -> bool:
        """True where it has not turned for long: the process is better started anew."""
        return time.monotonic() - self.at > SWEEP_OVERDUE.total_seconds()


@dataclass(frozen=True, slots=True)
class Probes:
    """The HTTP server of /livez and /readyz."""

    engine: AsyncEngine
    leadership: Leadership
    pulse: Pulse
    host: str
    port: int

    async def start(self) -> web.AppRunner:
        """Listen; the caller cleans the runner up."""
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError as error:
            await runner.cleanup()
            raise SettingsError(
                f"cannot listen on {self.host}:{self.port} ({error.strerror});"
                " choose another DEFIB_PROBE_PORT"
            ) from error
        return runner

    async def _livez(self, _: web.Request) -> web.Response:
        body = {"alive": not self.pulse.is_overdue}
        return web.json_response(body, status=503 if self.pulse.is_overdue else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        try:
            async with self.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError) as error:
            body = {"ready": False, "database": type(error).__name__}
            return web.json_response(body, status=503)
        return web.json_response({"ready": True, "leads": self.leadership.leads})
