"""`/api/system` and `/api/config`: how Defib itself is, and what is in force."""

from fastapi import APIRouter, Request, Response

from defib_api import fleet_examples as examples
from defib_api.documented import documented
from defib_api.routes.found import ServicesOf
from defib_api.schemas.overview import Config, System
from defib_core.store import overview

router = APIRouter(prefix="/api", tags=["Fleet"])


@router.get(
    "/system",
    operation_id="getSystem",
    summary="How Defib itself is",
    response_model=System,
    responses=documented(examples.SYSTEM, 401, 503),
)
async def get_system(services: ServicesOf, request: Request) -> Response:
    """Ingest, operator, Proxmox clusters, brakes, holds, the stop: what to know at 3 a.m.

    At most seconds old.
    """
    return await (await services.snapshots.system.get()).answer(request)


@router.get(
    "/config",
    operation_id="listConfigs",
    summary="The configuration in force",
    responses=documented([examples.CONFIG], 401, 503),
)
async def list_configs(services: ServicesOf) -> list[Config]:
    """Every SystemConfig with the spec that is in force. It is changed with kubectl or GitOps."""
    async with services.reading() as connection:
        return [Config.from_view(one) for one in await overview.configs(connection)]
