"""One VM's controls: pausing it, and setting its counter of attempts back.

They live in the database, never in somebody's spec: a pause by hand stands beside `spec.paused`.
"""

from fastapi import APIRouter

from defib_api import control_examples as examples
from defib_api.asking import AskedBy
from defib_api.documented import documented
from defib_api.errors import ApiError
from defib_api.routes.found import ServicesOf, VmId, no_vm, view_of
from defib_api.routes.setting import AFTER, Why, documented_end, end_of
from defib_api.schemas.base import written
from defib_api.schemas.controls import ClearRequest, Done, PauseRequest
from defib_api.schemas.vms import is_paused
from defib_core.store import controls
from defib_core.store.clock import database_now

router = APIRouter(prefix="/api/vms", tags=["Controls"])


@router.post(
    "/{vm_id}/pause",
    operation_id="pauseVm",
    summary="Pause a VM",
    responses=documented(examples.PAUSED, 400, 401, 404, 413, 415, 503),
)
async def pause_vm(services: ServicesOf, who: AskedBy, vm_id: VmId, wanted: PauseRequest) -> Done:
    """Keep a VM from being reset by itself; its state still moves. A pause before it is replaced.

    It stands beside `spec.paused` of the VirtualMachine, which it does not touch.
    """
    view = await view_of(services, vm_id)
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        until = end_of(wanted.until, wanted.minutes, now)
        if not await controls.pause(connection, who, view.id, wanted.reason, until, now):
            raise no_vm(vm_id)
    await services.snapshots.forget()
    end = "until somebody ends it" if until is None else f"until {written(until)}"
    message = (
        f"{view.hostname} is paused {end}. Its state still moves; when the pause ends, {AFTER}"
    )
    return Done(changed=True, message=message)


@router.delete(
    "/{vm_id}/pause",
    operation_id="unpauseVm",
    summary="End a VM's pause",
    responses=documented_end(examples.UNPAUSED, 400, 401, 404, 503),
)
async def unpause_vm(services: ServicesOf, who: AskedBy, vm_id: VmId, reason: Why = None) -> Done:
    """End a pause that was set by hand. One in `spec.paused` is ended with kubectl."""
    view = await view_of(services, vm_id)
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        ended = await controls.unpause(connection, who, view.id, now, reason=reason)
    await services.snapshots.forget()
    view = await view_of(services, vm_id)
    in_spec = is_paused(view, now)
    edit = f"remove spec.paused of {view.namespace}/{view.name} to end it"
    if in_spec and not ended:
        message = f"{view.hostname} is paused by its VirtualMachine ({view.paused_reason}): {edit}"
        raise ApiError(409, message, reason="PausedInSpec")
    if not ended:
        return Done(changed=False, message=f"{view.hostname} was not paused")
    rest = f"its VirtualMachine still pauses it: {edit}" if in_spec else AFTER
    return Done(changed=True, message=f"The pause of {view.hostname} has ended; {rest}")


@router.post(
    "/{vm_id}/clear",
    operation_id="clearVm",
    summary="Set a VM's attempts back",
    responses=documented(examples.CLEARED, 400, 401, 404, 413, 415, 503),
)
async def clear_vm(services: ServicesOf, who: AskedBy, vm_id: VmId, wanted: ClearRequest) -> Done:
    """Set the counter of attempts to 0, as after reset_failed: the cause is found."""
    view = await view_of(services, vm_id)
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        if not await controls.clear(connection, who, view.id, now, reason=wanted.reason):
            raise no_vm(vm_id)
    await services.snapshots.forget()
    were = "1 attempt was" if view.reset_attempts == 1 else f"{view.reset_attempts} attempts were"
    message = f"{view.hostname} is cleared: {were} counted, 0 are now; {AFTER}"
    return Done(changed=True, message=message)
