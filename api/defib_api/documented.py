"""What the OpenAPI says of an operation: an example of each answer, and of each way to fail."""

from typing import Any

from defib_api import examples, people_examples
from defib_api.schemas.failures import Broken, Conflict, Failure, Invalid
from defib_api.schemas.resets import ResetUnderWay

Responses = dict[int | str, dict[str, Any]]

ALWAYS = (500,)
"""Every operation may break."""

FAILURES: dict[int, tuple[str, type, Any]] = {
    400: ("A field is wrong; each one is listed.", Invalid, examples.INVALID),
    401: ("No valid key or token.", Failure, examples.NOT_SIGNED_IN),
    403: ("The role does not reach.", Failure, people_examples.LACKING),
    404: ("There is no such thing.", Failure, examples.NO_VM),
    408: ("The body did not come in time.", Failure, examples.TOO_SLOW),
    409: ("The reset was not sent; `reason` says why.", Conflict, examples.HELD),
    413: ("The body is too large.", Failure, examples.TOO_LARGE),
    415: ("The body is not declared as JSON.", Failure, examples.NOT_JSON),
    429: ("This VM has several reports waiting already.", Failure, examples.TOO_MANY),
    500: ("An error on our side; the log has it under `requestId`.", Broken, examples.BROKEN),
    503: ("Not now: the database is away; see Retry-After.", Failure, examples.AWAY),
}


def documented(success: object, *statuses: int, accepted: object = None) -> Responses:
    """Build `responses` for a route: an example of success, and of each failure named."""
    found: Responses = {200: {"content": _example(success)}}
    if accepted is not None:
        description = "It is under way; look again at `href`."
        found[202] = {
            "description": description,
            "model": ResetUnderWay,
            "content": _example(accepted),
        }
    for status in (*statuses, *ALWAYS):
        description, model, example = FAILURES[status]
        found[status] = {
            "description": description,
            "model": model,
            "content": _example(example),
        }
    return found


def _example(value: object) -> dict[str, Any]:
    return {"application/json": {"example": value}}
