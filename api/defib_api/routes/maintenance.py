"""`/api/maintenance`: windows in which VMs with certain labels are not reset.

Those by hand are for all fleets; a SystemConfig's are shown here, and ended only in its spec.
"""

import secrets
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_api import control_examples as examples
from defib_api.asking import AskedBy
from defib_api.documented import documented
from defib_api.errors import ApiError, refused_field
from defib_api.routes.found import ServicesOf
from defib_api.routes.setting import Why, documented_end, end_of
from defib_api.schemas.base import written
from defib_api.schemas.controls import Done, Maintenance, MaintenanceRequest, WindowOpened
from defib_api.schemas.identifiers import WINDOW_ID, read_id, window_id_text
from defib_core.store import windows
from defib_core.store.clock import database_now
from defib_core.store.windows import ListedWindow, WindowWish

router = APIRouter(prefix="/api/maintenance", tags=["Controls"])

WindowId = Annotated[str, Path(examples=["maintenance_6"])]


@router.get(
    "",
    operation_id="listMaintenance",
    summary="Maintenance windows",
    responses=documented([examples.WINDOW], 401, 503),
)
async def list_maintenance(services: ServicesOf) -> list[Maintenance]:
    """Those that are open or to come, by hand and by SystemConfig, the earliest first."""
    async with services.reading() as connection:
        now = await database_now(connection)
        found = await windows.listed_windows(connection)
    return [Maintenance.from_listed(one, now) for one in found if one.window.ends_at > now]


@router.post(
    "",
    operation_id="openMaintenance",
    summary="Open a maintenance window",
    responses=documented(examples.OPENED, 400, 401, 413, 415, 503),
)
async def open_maintenance(
    services: ServicesOf, who: AskedBy, wanted: MaintenanceRequest
) -> WindowOpened:
    """VMs with all these labels are not reset in it, in every fleet; their states still move.

    Under the name of an open window it is changed.
    """
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        wish = _wish(wanted, now)
        window_id = await windows.open_window(connection, who, wish, now)
        found = await windows.listed_windows(connection)
    vms = next(one.vms for one in found if one.window.id == window_id)
    when = f"from {written(wish.starts_at)} until {written(wish.ends_at)}"
    none = " No VM carries these labels: check their spelling." if vms == 0 else ""
    message = (
        f"{wish.name}: {vms} VMs are in maintenance {when}. After it each has one more full stale"
        f" timeout.{none}"
    )
    return WindowOpened(
        changed=True, message=message, id=window_id_text(window_id), name=wish.name, vms=vms
    )


@router.delete(
    "/{window_id}",
    operation_id="endMaintenance",
    summary="End a maintenance window",
    responses=documented_end(examples.WINDOW_ENDED, 400, 401, 404, 503),
)
async def end_maintenance(
    services: ServicesOf, who: AskedBy, window_id: WindowId, reason: Why = None
) -> Done:
    """End a window that was opened by hand, now. A SystemConfig's is ended in its spec."""
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        listed = await _listed(connection, window_id, now)
        if listed.system_config is not None:
            where = f"remove {listed.window.name} from spec.maintenance of {listed.system_config}"
            message = f"the window is asked for by a SystemConfig: {where} to end it"
            raise ApiError(409, message, reason="MaintenanceInSpec")
        await windows.close_window(connection, who, listed.window.id, now, reason=reason)
    message = (
        f"The maintenance {listed.window.name} has ended; for its {listed.vms} VMs the clock starts"
        " anew: each has one more full stale timeout"
    )
    return Done(changed=True, message=message)


async def _listed(connection: AsyncConnection, text: str, now: datetime) -> ListedWindow:
    number = read_id(WINDOW_ID, text)
    for one in await windows.listed_windows(connection):
        if one.window.id == number and one.window.ends_at > now:
            return one
    raise ApiError(404, f"there is no open window {text[:40]!r}; see /api/maintenance")


def _wish(wanted: MaintenanceRequest, now: datetime) -> WindowWish:
    start = wanted.starts_at or now
    end = end_of(wanted.until, wanted.minutes, start)
    assert end is not None, "the schema asks for an end"
    if end <= now:
        raise refused_field("until", "is over already")
    return WindowWish(
        name=wanted.name or f"by-hand-{secrets.token_hex(3)}",
        selector=wanted.match_labels,
        reason=wanted.reason,
        starts_at=start,
        ends_at=end,
    )
