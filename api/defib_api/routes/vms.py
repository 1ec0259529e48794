"""`/api/vms`: the fleet, one VM, its history, its resets."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from defib_api import examples
from defib_api.documented import documented
from defib_api.errors import refused_field
from defib_api.fleet.cursor import BadCursor
from defib_api.prepared import JSON
from defib_api.routes.found import ServicesOf, VmId, no_vm, view_of
from defib_api.routes.listing import Asked
from defib_api.schemas.fleet import VmPage
from defib_api.schemas.identifiers import VM_ID, read_id
from defib_api.schemas.resets import Reset
from defib_api.schemas.vms import Metric, Vm
from defib_core.store import metrics, reads, vm_rows
from defib_core.store.clock import database_now

HOURS_MOST = 9600
RESETS_SHOWN = 200

router = APIRouter(prefix="/api/vms", tags=["VMs"])


Hours = Annotated[
    int,
    Query(ge=1, le=HOURS_MOST, description="How far back; 48 h of reports, 400 days of means."),
]


@router.get(
    "",
    operation_id="listVms",
    summary="All VMs, or pages of some",
    response_model=list[Vm] | VmPage,
    responses=documented([examples.VM], 400, 401, 503),
)
async def list_vms(services: ServicesOf, request: Request, asked: Asked) -> Response:
    """The whole fleet as an array, oldest first; with any parameter, pages of what is asked for.

    A page is `{"items": [...], "nextCursor": ..., "total": n}`: give `nextCursor` back as `cursor`
    for the next one, which is right also when VMs came or went meanwhile. Up to three seconds old,
    the array not at all with `Cache-Control: no-cache`. With `If-None-Match` the answer is 304
    while nothing has changed.
    """
    if asked is None:
        wants_now = "no-cache" in request.headers.get("cache-control", "")
        kept = services.snapshots
        return await (await (kept.vms_now() if wants_now else kept.vms.get())).answer(request)
    try:
        return await (await services.snapshots.page(asked)).answer(request)
    except BadCursor as error:
        raise refused_field("cursor", str(error)) from error


@router.get(
    "/{vm_id}",
    operation_id="getVm",
    summary="One VM",
    response_model=Vm,
    responses=documented(examples.VM, 401, 404, 503),
)
async def get_vm(services: ServicesOf, vm_id: VmId) -> Response:
    """One VM, as it is now."""
    number = read_id(VM_ID, vm_id)
    if number is None:
        raise no_vm(vm_id)
    async with services.reading() as connection:
        found = await vm_rows.some_rows(connection, [number])
    if number not in found:
        raise no_vm(vm_id)
    return Response(found[number], media_type=JSON)


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
        body = await metrics.points(connection, view.id, now=now, span=span, by=by)
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
