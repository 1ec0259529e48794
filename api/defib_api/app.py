"""The ASGI application: reports first, then FastAPI with everything else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp

from defib_api import errors, openapi
from defib_api.auth import principal_of
from defib_api.envelope import Envelope
from defib_api.frontend import Frontend
from defib_api.ingest.batches import Batches
from defib_api.ingest.route import IngestFirst
from defib_api.measured import Measured
from defib_api.metrics import registry_of
from defib_api.routes import (
    agent_tokens,
    audit,
    controls,
    coverage,
    enrolment,
    events,
    explain,
    fleet,
    global_stop,
    install,
    maintenance,
    notifications,
    overview,
    past,
    personal_tokens,
    probes,
    report,
    resets,
    session,
    sessions,
    sign_in,
    sparklines,
    status,
    vms,
)
from defib_api.services import Services, make_services
from defib_api.tls import Tls
from defib_api.traced import Traced
from defib_core.config.metrics_port import serving_metrics
from defib_core.config.settings import ApiSettings
from defib_core.tracing.spans import traced

TAGS: list[dict[str, Any]] = [
    {"name": "Reports", "description": "What agents send."},
    {"name": "Fleet", "description": "All VMs at a glance."},
    {"name": "VMs", "description": "VMs, their history and their resets."},
    {"name": "Resets", "description": "Asking for a reset by hand."},
    {"name": "Controls", "description": "What people set, each audited: pauses, windows, stops."},
    {"name": "Agents", "description": "Installing agents."},
    {"name": "Tokens", "description": "Who may report: enrolment and tokens of agents."},
    {"name": "People", "description": "Who is signed in, and tokens with a role and an end."},
    {"name": "Probes", "description": "For Kubernetes, load balancers and people."},
]


def create_app(settings: ApiSettings, tls: Tls | None = None) -> ASGIApp:
    """Build the whole application; nothing connects before its lifespan starts."""
    services = make_services(settings, tls)
    app = dashboard_app(services)
    return IngestFirst(
        app,
        services.keys,
        services.known,
        services.writer,
        services.rejections,
        shared_keys=settings.shared_agent_keys,
        batches=Batches(
            services.engine,
            services.keys,
            services.known,
            services.writer,
            rejections=services.rejections,
            relays=services.relays,
            flood=services.flood,
            freshness=services.freshness,
            counts=services.counts,
            shared_keys=settings.shared_agent_keys,
        ),
        relays=services.relays,
        flood=services.flood,
        counts=services.counts,
    )


def dashboard_app(services: Services | None) -> FastAPI:
    """Build the FastAPI part; without services it can only describe itself."""
    app = FastAPI(
        title="Defib",
        summary="Heartbeats in, resets out.",
        description="VMs report their health; people see the fleet and ask for resets.",
        version=version("defib"),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_url="/api/openapi.json",
        openapi_tags=TAGS,
        # Both pages load their scripts from other people's servers.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.services = services
    measured = Measured() if services is None else services.measured
    https = services is not None and services.settings.is_https
    app.add_middleware(Envelope, requests=measured.requests, https=https)
    if services is not None and services.settings.tracing_url is not None:
        app.add_middleware(Traced)
    errors.install(app)
    openapi.install(app)
    _add_routes(app)
    if services is not None and services.settings.frontend_dir is not None:
        app.mount("/", Frontend(services.settings.frontend_dir))
    return app


def _add_routes(app: FastAPI) -> None:
    app.include_router(report.router)
    app.include_router(enrolment.router)
    app.include_router(session.begin)
    app.include_router(sign_in.router)
    app.include_router(sign_in.browsers)
    for shown in (
        status,
        fleet,
        sparklines,
        events,
        overview,
        coverage,
        vms,
        past,
        resets,
        explain,
        controls,
        maintenance,
        global_stop,
        audit,
        notifications,
        install,
        agent_tokens,
        session,
        sessions,
        personal_tokens,
    ):
        app.include_router(shown.router, dependencies=[Depends(principal_of)])
    app.include_router(probes.router)
    app.include_router(install.scripts)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    async with traced(services.settings, "api"):
        with serving_metrics(services.settings, registry_of(services)):
            async with services.running():
                yield
