"""`/api/vms`: the fleet, one VM, its history, its resets."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter

from defib_api import examples
from defib_api.documented import documented
from defib_api.routes.found import ServicesOf, VmId, view_of
from defib_api.schemas.resets import Reset
from defib_api.schemas.vms import Metric, Vm
from defib_api.services import Services
from defib_core.store import metrics, reads
from defib_core.store.clock import database_now

HOURS_MOST = 9600
RESETS_SHOWN = 200
JSON = "application/json"
VMS = "vms"

router = APIRouter(prefix="/api/vms", tags=["VMs"])

_vms = TypeAdapter(list[Vm])
_metrics = TypeAdapter(list[Metric])

Hours = Annotated[
    int,
    Query(ge=1, le=HOURS_MOST, description="How far back; 48 h of reports, 400 days of means."),
]


@router.get(
    "",
    operation_id="listVms",
    summary="All VMs",
    response_model=list[Vm],
    responses=documented([examples.VM], 401, 503),
)
async def list_vms(services: ServicesOf) -> Response:
    """The whole fleet, oldest first; at most a second old."""
    body = await services.cache.get_or_build(VMS, lambda: _all_vms(services))
    return Response(body, media_type=JSON)


@router.get(
    "/{vm_id}",
    operation_id="getVm",
    summary="One VM",
    responses=documented(examples.VM, 401, 404, 503),
)
async def get_vm(services: ServicesOf, vm_id: VmId) -> Vm:
    """One VM, as it is now."""
    view = await view_of(services, vm_id)
    async with services.reading() as connection:
        return Vm.from_view(view, await database_now(connection))


@router.get(
    "/{vm_id}/metrics",
    operation_id="getVmMetrics",
    summary="A VM's history",
    response_model=list[Metric],
    responses=documented([examples.METRIC], 400, 401, 404, 503),
)
async def get_metrics(services: ServicesOf, vm_id: VmId, hours: Hours = 24) -> Response:
    """The last hours, oldest first.

    Every report up to 6 h, means of five minutes up to a week, and of an hour beyond; the header
    `X-Defib-Resolution` says which. What is not summed up yet comes as single reports.
    """
    view = await view_of(services, vm_id)
    span = timedelta(hours=hours)
    by = metrics.resolution_for(span)
    async with services.reading() as connection:
        now = await database_now(connection)
        points = await metrics.points(connection, view.id, now=now, span=span, by=by)
    body = _metrics.dump_json([Metric.from_point(point) for point in points])
    return Response(body, media_type=JSON, headers={"X-Defib-Resolution": by.value})


@router.get(
    "/{vm_id}/reset-history",
    operation_id="getVmResetHistory",
    summary="A VM's resets",
    responses=documented([examples.RESET], 401, 404, 503),
)
async def get_reset_history(services: ServicesOf, vm_id: VmId) -> list[Reset]:
    """The last 200 resets that were asked for, newest first, and what became of each."""
    view = await view_of(services, vm_id)
    async with services.reading() as connection:
        found = await reads.resets_of(connection, view.id, RESETS_SHOWN)
    return [Reset.from_view(one) for one in found]


async def _all_vms(services: Services) -> bytes:
    async with services.reading() as connection:
        now = await database_now(connection)
        views = await reads.all_vms(connection)
    return _vms.dump_json([Vm.from_view(view, now) for view in views])
