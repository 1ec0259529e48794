"""`/api/status`: the fleet at a glance."""

from fastapi import APIRouter, Response

from defib_api import examples
from defib_api.documented import documented
from defib_api.routes.found import ServicesOf
from defib_api.schemas.vms import Status
from defib_api.services import Services
from defib_core.store import reads
from defib_core.store.clock import database_now

STATUS = "status"

router = APIRouter(prefix="/api", tags=["Fleet"])


@router.get(
    "/status",
    operation_id="getStatus",
    summary="The fleet at a glance",
    response_model=Status,
    responses=documented(examples.STATUS, 401, 503),
)
async def get_status(services: ServicesOf) -> Response:
    """How many VMs there are by health, and the configuration in force; at most a second old."""
    body = await services.cache.get_or_build(STATUS, lambda: _status(services))
    return Response(body, media_type="application/json")


async def _status(services: Services) -> bytes:
    async with services.reading() as connection:
        now = await database_now(connection)
        counts = await reads.fleet_counts(connection, services.settings.namespace)
    return Status.from_counts(counts, now).model_dump_json().encode()
