"""`/api/status`: the fleet at a glance."""

from fastapi import APIRouter, Request, Response

from defib_api import examples
from defib_api.documented import documented
from defib_api.routes.found import ServicesOf
from defib_api.schemas.vms import Status

router = APIRouter(prefix="/api", tags=["Fleet"])


@router.get(
    "/status",
    operation_id="getStatus",
    summary="The fleet at a glance",
    response_model=Status,
    responses=documented(examples.STATUS, 401, 503),
)
async def get_status(services: ServicesOf, request: Request) -> Response:
    """How many VMs there are by health, and the configuration in force; about a second old."""
    return await (await services.snapshots.status.get()).answer(request)
