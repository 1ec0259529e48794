"""The real API on a real socket, in the test's own event loop, with a key of each kind."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import uvicorn
from pydantic import SecretStr

from defib_api.app import create_app
from defib_api.ingest.route import IngestFirst
from defib_api.main import server_config
from defib_api.services import Services
from defib_core.config.settings import ApiSettings
from defib_core.store import registry, tokens
from defib_core.store.engine import make_engine
from defib_core.store.tokens import TokenKind
from support.waiting import eventually_async

NAMESPACE = "defib"
SEED_REPORT: Mapping[str, Any] = {
    "hostname": "web-server-01",
    "vmid": "100",
    "node": "pve-node-1",
    "status": "running",
    "cpuUsage": 45.2,
    "ramUsage": 2048,
    "ramTotal": 4096,
    "diskUsage": 50000,
    "diskTotal": 100000,
    "uptime": 3600,
    "timestamp": 1672531200,
}


@dataclass(slots=True)
class RunningApi:
    """An API that listens. `http` sends no key of itself; the methods do."""

    port: int
    services: Services
    http: httpx.AsyncClient
    database_url: str
    agent_key: str
    admin_token: str
    admin: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.admin = {"Authorization": f"Bearer {self.admin_token}"}

    async def report(self, **changes: object) -> httpx.Response:
        """Send the contract's report with some fields changed; None leaves a field out."""
        body = {**SEED_REPORT, **changes}
        return await self.send({name: value for name, value in body.items() if value is not None})

    async def send(self, body: object, **headers: str) -> httpx.Response:
        """Send any JSON as a report."""
        return await self.http.post(
            "/api/health/report", json=body, headers={"X-API-Key": self.agent_key, **headers}
        )

    async def send_raw(self, content: bytes, **headers: str) -> httpx.Response:
        """Send any bytes as a report."""
        return await self.http.post(
            "/api/health/report",
            content=content,
            headers={
                "X-API-Key": self.agent_key,
                "Content-Type": "application/json",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )

    async def batch(self, *reports: object, **headers: str) -> httpx.Response:
        """Send reports together; each is the contract's with what is given changed."""
        body = {
            "reports": [{**SEED_REPORT, **one} if isinstance(one, dict) else one for one in reports]
        }
        return await self.http.post(
            "/api/health/reports", json=body, headers={"X-API-Key": self.agent_key, **headers}
        )

    async def get(self, path: str, **parameters: object) -> httpx.Response:
        """Read as the administrator."""
        return await self.http.get(path, headers=self.admin, params=parameters)

    async def ask_reset(
        self, vm_id: str, reason: str = "Manual reset via dashboard"
    ) -> httpx.Response:
        """Ask for a reset as the administrator."""
        return await self.http.post(
            f"/api/vms/{vm_id}/reset", json={"reason": reason}, headers=self.admin
        )

    async def sql(self, query: str, *parameters: object) -> Sequence[tuple[Any, ...]]:
        """Run a statement past the API, in a commit of its own."""
        return await run_sql(self.database_url, query, *parameters)

    async def ready(self) -> None:
        """Wait until /readyz says so."""

        answer = await self.http.get("/readyz")

        async def is_ready() -> bool:
            nonlocal answer
            answer = await self.http.get("/readyz")
            return answer.status_code == httpx.codes.OK

        try:
            await eventually_async(is_ready, what="/readyz answers 200", deadline_seconds=20)
        except AssertionError as error:
            raise AssertionError(f"the API is not ready: {answer.text}") from error

    async def new_token(self, kind: TokenKind, name: str) -> str:
        """Make a token, past the API."""
        return await new_token(self.database_url, kind, name)


async def run_sql(database_url: str, query: str, *parameters: object) -> Sequence[tuple[Any, ...]]:
    """Run one statement on a connection of its own."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        cursor = await connection.execute(query.encode(), parameters or None)
        return await cursor.fetchall() if cursor.description else []


async def new_token(database_url: str, kind: TokenKind, name: str) -> str:
    """Make a token; an agent's is for the default cluster."""
    engine = make_engine(database_url, application="tests")
    try:
        async with engine.begin() as connection:
            await registry.ensure_defaults(connection, NAMESPACE)
            cluster_id = None
            if kind is TokenKind.AGENT:
                cluster_id = await tokens.cluster_id_of(connection, NAMESPACE, "default")
            return await tokens.create(connection, kind, name, cluster_id=cluster_id)
    finally:
        await engine.dispose()


def settings_for(database_url: str, redis_url: str | None, **changes: object) -> ApiSettings:
    """Settings of an API on loopback; the port is the listening socket's.

    One VM may report as often as it likes, since tests ask again until something is so.
    """
    return ApiSettings(
        database_url=SecretStr(database_url),
        redis_url=None if redis_url is None else SecretStr(redis_url),
        namespace=NAMESPACE,
        api_host="127.0.0.1",
        **{"report_limit_per_minute": 0, **changes},
    )


@asynccontextmanager
async def listening(settings: ApiSettings, port: int = 0) -> AsyncIterator[tuple[int, Services]]:
    """Serve until the block ends, then drain and stop as on SIGTERM. Port 0: any that is free."""
    app = create_app(settings)
    assert isinstance(app, IngestFirst)
    server = uvicorn.Server(server_config(app, settings, loop="asyncio"))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        task = asyncio.create_task(server._serve([listener]))

        async def started() -> bool:
            assert not task.done(), task
            return server.started

        await eventually_async(started, what="uvicorn listens")
        try:
            yield listener.getsockname()[1], app._app.state.services
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def running_api(
    database_url: str,
    redis_url: str | None,
    *,
    through: str | None = None,
    port: int = 0,
    **changes: object,
) -> AsyncIterator[RunningApi]:
    """The API, ready. `through` is the URL it uses itself, where that leads through a proxy."""
    agent_key = await new_token(database_url, TokenKind.AGENT, "tests")
    admin_token = await new_token(database_url, TokenKind.ADMIN, "alice")
    settings = settings_for(through or database_url, redis_url, **changes)
    async with (
        listening(settings, port) as (listens_at, services),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{listens_at}", timeout=30) as http,
    ):
        api = RunningApi(listens_at, services, http, database_url, agent_key, admin_token)
        await api.ready()
        yield api
