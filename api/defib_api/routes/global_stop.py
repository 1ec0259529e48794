"""`/api/global-stop`: nothing is reset anywhere, by nobody, until it is ended."""

from fastapi import APIRouter

from defib_api import control_examples as examples
from defib_api.asking import AskedBy
from defib_api.documented import documented
from defib_api.errors import ApiError
from defib_api.routes.found import ServicesOf
from defib_api.routes.setting import Why, documented_end
from defib_api.schemas.base import written
from defib_api.schemas.controls import Done, GlobalStopState, StopRequest
from defib_core.domain.actions import Phase
from defib_core.store import controls, execution
from defib_core.store.clock import database_now

router = APIRouter(prefix="/api/global-stop", tags=["Controls"])


@router.get(
    "",
    operation_id="getGlobalStop",
    summary="Is everything stopped",
    responses=documented(examples.STOP_STATE, 401, 503),
)
async def get_global_stop(services: ServicesOf) -> GlobalStopState:
    """Every stop in force: one by hand, and one for each SystemConfig that asks for it."""
    async with services.reading() as connection:
        return GlobalStopState.from_stops(list(await controls.global_stops(connection)))


@router.put(
    "",
    operation_id="beginGlobalStop",
    summary="Stop every reset",
    responses=documented(examples.STOPPED, 400, 401, 413, 415, 503),
)
async def begin_global_stop(services: ServicesOf, who: AskedBy, wanted: StopRequest) -> Done:
    """Nothing is reset anywhere, by nobody, forced resets included, until it is ended.

    It survives restarts of everything. States still move, and reports are taken.
    """
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        begun = await controls.begin_global_stop(connection, who, wanted.reason, now)
        stops = await controls.global_stops(connection)
        unfinished = await execution.unfinished(connection)
    if not begun:
        first = next(one for one in stops if one.config_id is None)
        since = f"since {written(first.started_at)} by {first.started_by}: {first.reason}"
        return Done(changed=False, message=f"Everything is stopped already, {since}")
    sent = sum(1 for one in unfinished if one.phase is not Phase.REQUESTED)
    late = f" {sent} resets were sent before and are followed to their end." if sent else ""
    message = "Everything is stopped: nothing is reset, by nobody, until somebody ends the stop."
    return Done(changed=True, message=message + late)


@router.delete(
    "",
    operation_id="endGlobalStop",
    summary="Let resets go again",
    responses=documented_end(examples.STOP_ENDED, 400, 401, 503),
)
async def end_global_stop(services: ServicesOf, who: AskedBy, reason: Why = None) -> Done:
    """End the stop that was set by hand. A SystemConfig's is ended in its spec."""
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        ended = await controls.end_global_stop(connection, who, now, reason=reason)
        left = await controls.global_stops(connection)
    by = ", ".join(str(one.system_config) for one in left)
    edit = f"remove spec.globalStop of {by} to end that"
    if left and not ended:
        message = f"everything is stopped by SystemConfig: {edit}"
        raise ApiError(409, message, reason="StoppedInSpec")
    if not ended:
        return Done(changed=False, message="Nothing was stopped")
    rest = "every VM has one more full stale timeout before it may be reset"
    still = f"everything is still stopped by SystemConfig: {edit}"
    return Done(changed=True, message=f"The stop has ended; {still if left else rest}")
