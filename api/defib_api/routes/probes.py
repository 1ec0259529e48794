"""`/livez` and `/readyz`, for the kubelet and for people; no authentication, no secrets."""

from fastapi import APIRouter, Response

from defib_api import examples
from defib_api.documented import documented
from defib_api.readiness import readiness_of
from defib_api.routes.found import ServicesOf
from defib_api.schemas.probes import Liveness, Readiness

router = APIRouter(tags=["Probes"])

_ready = documented(examples.READY)
_ready[503] = {
    "description": "Reports cannot be stored; `checks` says what is missing, and since when.",
    "model": Readiness,
    "content": {"application/json": {"example": examples.NOT_READY}},
}


@router.get(
    "/livez",
    operation_id="getLiveness",
    summary="Is the process alive",
    responses=documented(examples.ALIVE),
)
async def get_liveness() -> Liveness:
    """Answer 200 as long as the process turns, whatever else is away."""
    return Liveness()


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Can reports be stored",
    response_model=Readiness,
    responses=_ready,
)
async def get_readiness(services: ServicesOf) -> Response:
    """Answer 503 where reports cannot be stored. Redis away is only slower, and still a 200."""
    found = await readiness_of(services)
    status = 200 if found.ready else 503
    return Response(found.model_dump_json(), status, media_type="application/json")
