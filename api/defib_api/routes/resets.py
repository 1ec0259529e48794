"""Asking for a reset, and looking what became of one."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Response

from defib_api import examples
from defib_api.asking import Client, source_of
from defib_api.auth import Authenticated, Principal, lacking
from defib_api.documented import documented
from defib_api.errors import ApiError
from defib_api.manual_reset import InProgress, NoSuchVM, ask
from defib_api.routes.found import ServicesOf, VmId, no_vm, view_of
from defib_api.schemas.failures import ResetFailure
from defib_api.schemas.identifiers import RESET_ID, read_id, reset_id_text
from defib_api.schemas.resets import Reset, ResetRequest, ResetSent, ResetUnderWay
from defib_core.domain.actions import Phase, Source
from defib_core.domain.roles import Role
from defib_core.store import reads
from defib_core.store.intents import ManualRequest
from defib_core.store.reads import ResetView, VmView
from defib_core.tracing import spans
from defib_core.tracing.spans import ResetTrace

IN_PROGRESS, DRY_RUN = "ResetInProgress", "DryRun"

router = APIRouter(prefix="/api", tags=["Resets"])

RequestKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="Asking again with the same key follows the first request.",
    ),
]


@dataclass(frozen=True, slots=True)
class AskedHow:
    """What the headers say of a request for a reset."""

    source: Source
    request_key: str | None


def asked_how(client: Client = None, request_key: RequestKey = None) -> AskedHow:
    """Read the headers."""
    return AskedHow(source_of(client), request_key)


How = Annotated[AskedHow, Depends(asked_how)]
ResetId = Annotated[str, Path(examples=["reset_45"])]

_responses = documented(
    examples.SENT, 400, 401, 404, 409, 413, 415, 503, accepted=examples.UNDER_WAY
)
_responses[500] = {
    "description": "Proxmox refused or failed it, in its own words; or an error on our side.",
    "model": ResetFailure,
    "content": {"application/json": {"example": examples.RESET_FAILED}},
}


@router.post(
    "/vms/{vm_id}/reset",
    operation_id="resetVm",
    summary="Reset a VM",
    response_model=ResetSent,
    responses=_responses,
    openapi_extra={
        "requestBody": {"content": {"application/json": {"example": examples.ASKED}}},
    },
)
async def reset_vm(
    services: ServicesOf,
    principal: Authenticated,
    vm_id: VmId,
    wanted: ResetRequest,
    how: How,
) -> Response:
    """Ask for a reset and wait for Proxmox's answer, for less than five seconds.

    It takes the same careful way as an automatic one: where it would do harm it is not sent.
    """
    if wanted.force and not principal.role.may(Role.ADMINISTRATOR):
        raise ApiError(403, lacking(principal, Role.ADMINISTRATOR))
    view = await view_of(services, vm_id)
    request = _request(view, wanted, principal, how)
    try:
        done = await ask(services.engine, request, services.settings.manual_reset_wait_seconds)
    except NoSuchVM as error:
        raise no_vm(vm_id) from error
    await services.snapshots.forget()
    if isinstance(done, InProgress):
        message = f"another reset of {view.hostname} is not finished yet"
        raise ApiError(409, message, reason=IN_PROGRESS, resetId=reset_id_text(done.intent_id))
    spans.link(ResetTrace(done.id, done.requested_at))
    return _answer(view.hostname, done, await _attempts(services, view))


@router.get(
    "/resets/{reset_id}",
    operation_id="getReset",
    summary="One reset",
    responses=documented(examples.RESET, 401, 404, 503),
)
async def get_reset(services: ServicesOf, reset_id: ResetId) -> Reset:
    """What became of a reset."""
    number = read_id(RESET_ID, reset_id)
    async with services.reading() as connection:
        view = None if number is None else await reads.one_reset(connection, number)
    if view is None:
        raise ApiError(404, f"there is no reset {reset_id[:40]!r}; ids look like reset_45")
    return Reset.from_view(view)


def _request(
    view: VmView, wanted: ResetRequest, principal: Principal, how: AskedHow
) -> ManualRequest:
    return ManualRequest(
        vm_id=view.id,
        source=how.source,
        actor=principal.name,
        reason=wanted.reason,
        forced=wanted.force,
        request_key=how.request_key,
    )


async def _attempts(services: ServicesOf, view: VmView) -> int:
    async with services.reading() as connection:
        now_shown = await reads.one_vm(connection, view.id)
    return (now_shown or view).reset_attempts


def _answer(hostname: str, done: ResetView, attempts: int) -> Response:
    """Say what became of it, in the status the reader expects."""
    if done.phase is Phase.SUCCEEDED:
        message = f"Reset command sent to {hostname}"
        return _json(200, ResetSent(success=True, message=message, reset_attempts=attempts))
    if not done.phase.is_finished:
        return _under_way(hostname, done)
    raise _refusal(hostname, done)


def _under_way(hostname: str, done: ResetView) -> Response:
    reset_id = reset_id_text(done.id)
    href = f"/api/resets/{reset_id}"
    message = f"The reset of {hostname} is under way; look again at {href}"
    return _json(202, ResetUnderWay(message=message, reset_id=reset_id, href=href))


def _refusal(hostname: str, done: ResetView) -> ApiError:
    reset_id, words = reset_id_text(done.id), done.error or "no reason was given"
    match done.phase:
        case Phase.CANCELLED:
            message = f"{hostname} was not reset: {words}"
            return ApiError(409, message, reason=done.cancelled_by, resetId=reset_id)
        case Phase.DRY_RUN:
            message = f"{hostname} was not reset: dryRun is on in its SystemConfig"
            return ApiError(409, message, reason=DRY_RUN, resetId=reset_id)
        case Phase.FAILED:
            message = f"Proxmox did not reset {hostname}: {words}"
            return ApiError(500, message, proxmoxError=words, resetId=reset_id)
        case _:
            message = (
                f"whether {hostname} was reset is not known: {words}; look before asking again"
            )
            return ApiError(500, message, proxmoxError=words, resetId=reset_id)


def _json(status: int, body: ResetSent | ResetUnderWay) -> Response:
    return Response(body.model_dump_json(), status, media_type="application/json")
