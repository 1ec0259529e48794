"""`POST /api/enroll`: a machine shows an enrolment token, and gets a token of its own."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Body, Request, Security
from fastapi.security import APIKeyHeader

from defib_api import enrolment_examples as examples
from defib_api.auth import address_of
from defib_api.documented import Responses, documented
from defib_api.errors import ApiError
from defib_api.ingest.registered import RegistrationsFull
from defib_api.routes.found import ServicesOf
from defib_api.schemas.enrolment import EnrolAnswer, EnrolRequest
from defib_api.schemas.failures import Failure
from defib_api.schemas.identifiers import agent_token_id_text, vm_id_text
from defib_api.services import Services
from defib_core.store.clock import database_now
from defib_core.store.enrolment import Enrolled, NotEnrolled, Refusal, enrol
from defib_core.store.registry import NotRegistrable

log = structlog.get_logger(__name__)

FIND_SECONDS, CROWD_SECONDS = "15", "5"
CROWD = "more machines enrol than are taken at once; try again"
STATUS = {
    Refusal.UNKNOWN: 401,
    Refusal.OUTSIDE: 403,
    Refusal.TAKEN: 409,
    Refusal.NOT_FOUND_YET: 503,
}
CHALLENGE = {"WWW-Authenticate": 'ApiKey realm="defib", header="X-Enrolment-Token"'}
MISSING = (
    "the X-Enrolment-Token header is missing; `defib enrolment create` makes an enrolment token"
)

enrolment_key = APIKeyHeader(
    name="X-Enrolment-Token",
    scheme_name="EnrolmentToken",
    description="An enrolment token, made by `defib enrolment create`.",
    auto_error=False,
)
router = APIRouter(prefix="/api", tags=["Reports"])


def _documented() -> Responses:
    responses = documented(examples.ENROLLED, 400, 401, 413, 415, 429, 503)
    for status, description, example in (
        (403, "The token does not reach this VM.", examples.OUTSIDE),
        (409, "Another machine reports as this VM now.", examples.TAKEN),
    ):
        content = {"application/json": {"example": example}}
        responses[status] = {"description": description, "model": Failure, "content": content}
    return responses


@router.post(
    "/enroll",
    operation_id="enroll",
    summary="A machine enrols",
    responses=_documented(),
)
async def enroll(
    services: ServicesOf,
    request: Request,
    token: Annotated[str | None, Security(enrolment_key)],
    wanted: Annotated[EnrolRequest, Body(examples=[examples.ENROL_REQUEST])],
) -> EnrolAnswer:
    """Exchange an enrolment token for a token of this machine's VM alone.

    A machine that enrols again (with the same smbiosUuid) gets a new token, and its old one ends.
    """
    if not token:
        raise ApiError(401, MISSING, headers=CHALLENGE)
    try:
        async with services.enrolling:
            outcome = await _enrol(services, token, wanted)
    except RegistrationsFull as error:
        raise ApiError(503, CROWD, headers={"Retry-After": CROWD_SECONDS}) from error
    if isinstance(outcome, NotEnrolled):
        raise _refused(services, outcome, address_of(request))
    log.info("machine.enrolled", vmid=outcome.vmid, token=outcome.token_id, host=wanted.hostname)
    return EnrolAnswer(
        token=outcome.token,
        token_id=agent_token_id_text(outcome.token_id),
        vm_id=None if outcome.vm_id is None else vm_id_text(outcome.vm_id),
        cluster=outcome.cluster,
        vmid=None if outcome.vmid is None else str(outcome.vmid),
        node=outcome.node,
        report_interval_seconds=outcome.report_interval_seconds,
    )


async def _enrol(services: Services, token: str, wanted: EnrolRequest) -> Enrolled | NotEnrolled:
    try:
        async with services.engine.begin() as connection:
            now = await database_now(connection)
            return await enrol(connection, token, wanted.machine(), now)
    except NotRegistrable as error:
        message = f"nobody can enrol now: {error}; apply it, then try again"
        raise ApiError(503, message, headers={"Retry-After": FIND_SECONDS}) from error


def _refused(services: Services, outcome: NotEnrolled, address: str) -> ApiError:
    status = STATUS[outcome.refusal]
    log.warning("machine.not_enrolled", why=outcome.refusal.name, message=outcome.message)
    if outcome.refusal is Refusal.UNKNOWN:
        wait = services.failures.wait(address)
        if wait:
            return ApiError(429, too_many(wait), headers={"Retry-After": str(wait)})
        services.failures.failed(address)
        return ApiError(status, outcome.message, headers=CHALLENGE)
    later = {"Retry-After": FIND_SECONDS} if outcome.refusal is Refusal.NOT_FOUND_YET else None
    return ApiError(status, outcome.message, headers=later)


def too_many(seconds: int) -> str:
    """Say that an address has failed too often."""
    return f"too many wrong tokens came from this address; try again in {seconds} s"
