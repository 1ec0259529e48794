"""`/api/fleet`, `/api/nodes`, `/api/labels`: the whole fleet, from afar."""

from fastapi import APIRouter, Request, Response

from defib_api import fleet_examples as examples
from defib_api.documented import documented
from defib_api.routes.found import ServicesOf
from defib_api.schemas.fleet import FleetVector, Label, Node

router = APIRouter(prefix="/api", tags=["Fleet"])


@router.get(
    "/fleet",
    operation_id="getFleet",
    summary="The whole fleet in columns",
    response_model=FleetVector,
    responses=documented(examples.FLEET, 401, 503),
)
async def get_fleet(services: ServicesOf, request: Request) -> Response:
    """All VMs, some 30 bytes each: what a map of the fleet needs. At most seconds old.

    All columns have the same order. With `If-None-Match` the answer is 304 while nothing but the
    moment has changed. `version` is the number of the last change in it: the changes of
    `/api/events` with a higher one come on top.
    """
    return await (await services.snapshots.fleet.get()).answer(request)


@router.get(
    "/nodes",
    operation_id="listNodes",
    summary="Proxmox nodes, and the health of their VMs",
    response_model=list[Node],
    responses=documented([examples.NODE], 401, 503),
)
async def list_nodes(services: ServicesOf, request: Request) -> Response:
    """Every node that is known from Proxmox or that a VM is on; a second old."""
    return await (await services.snapshots.nodes.get()).answer(request)


@router.get(
    "/labels",
    operation_id="listLabels",
    summary="Labels in use",
    response_model=list[Label],
    responses=documented([examples.LABEL], 401, 503),
)
async def list_labels(services: ServicesOf, request: Request) -> Response:
    """The labels that VMs have, to choose from: at most 100 keys, and 100 values of each."""
    return await (await services.snapshots.labels.get()).answer(request)
