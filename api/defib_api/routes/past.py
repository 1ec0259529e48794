"""`/api/vms/{id}/timeline` and `/holds`: what a VM went through."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from defib_api import fleet_examples as examples
from defib_api.documented import documented
from defib_api.routes.found import ServicesOf, VmId, view_of
from defib_api.schemas.past import Hold, Transition
from defib_core.store import vm_past
from defib_core.store.clock import database_now

HOURS_MOST = 9600

router = APIRouter(prefix="/api/vms", tags=["VMs"])

Hours = Annotated[int, Query(ge=1, le=HOURS_MOST, description="How far back.")]


@router.get(
    "/{vm_id}/timeline",
    operation_id="getVmTimeline",
    summary="A VM's changes of state",
    responses=documented([examples.TRANSITION], 400, 401, 404, 503),
)
async def get_timeline(services: ServicesOf, vm_id: VmId, hours: Hours = 24) -> list[Transition]:
    """The changes of the last hours, oldest first; the newest 1,000 where there are more."""
    view = await view_of(services, vm_id)
    async with services.reading() as connection:
        now, span = await database_now(connection), timedelta(hours=hours)
        found = await vm_past.transitions_of(connection, view.id, now, span)
    return [Transition.from_view(one) for one in found]


@router.get(
    "/{vm_id}/holds",
    operation_id="getVmHolds",
    summary="When a VM was held, and why",
    responses=documented([examples.HOLD], 400, 401, 404, 503),
)
async def get_holds(services: ServicesOf, vm_id: VmId, hours: Hours = 24) -> list[Hold]:
    """The holds that reach into the last hours, oldest first; at most the newest 1,000."""
    view = await view_of(services, vm_id)
    async with services.reading() as connection:
        now, span = await database_now(connection), timedelta(hours=hours)
        found = await vm_past.holds_of(connection, view.id, now, span)
    return [Hold.from_view(one) for one in found]
