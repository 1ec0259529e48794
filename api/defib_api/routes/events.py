"""`/api/events`: what changes in the fleet, as it changes."""

from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import JSONResponse

from defib_api import fleet_examples as examples
from defib_api.auth import Authenticated, Principal
from defib_api.documented import documented
from defib_api.errors import body_of, refused_field
from defib_api.events.feed import Full
from defib_api.events.stream import MEDIA_TYPE, EventStream, Reader
from defib_api.routes.found import ServicesOf
from defib_api.services import Services

FULL_SECONDS = "30"
LONGEST_NUMBER = 18

router = APIRouter(prefix="/api", tags=["Fleet"])

_answers = documented(None, 400, 401, 503)
_answers[200] = {
    "description": "A stream of Server-Sent Events.",
    "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": examples.EVENTS}},
}


@router.get(
    "/events",
    operation_id="getEvents",
    summary="What changes, as it changes",
    response_class=EventStream,
    responses=_answers,
)
async def get_events(
    services: ServicesOf,
    principal: Authenticated,
    last_event_id: Annotated[
        str | None,
        Header(description="The last `id` received: what came since is told first."),
    ] = None,
) -> Response:
    """Server-Sent Events; a comment every 15 s where nothing changes.

    First `snapshot` with the number to begin from, or after `Last-Event-ID` a `change` with what
    was missed. Then `change`: VMs as they are now, the same one again where it changed again.
    `resync`: too much changed to be told; load `/api/fleet` anew. The numbers are the database's,
    so any replica goes on where another ended. The stream ends after some 15 minutes, when the
    server stops: connect again; and when the session or token ends.
    """
    last_seen = _number(last_event_id)
    try:
        services.feed.check_room(principal.name)
    except Full as full:
        return _full(full)
    await services.feed.look()  # where the database is away, an answer can still say so
    reader = Reader(principal.name, lambda: _still_may(services, principal), last_seen)
    return EventStream(services.feed, reader, _full)


def _still_may(services: Services, principal: Principal) -> bool:
    """Whether what he showed is still good; one behind a proxy shows himself with each stream."""
    return principal.sha256 is None or services.keys.knows_digest(principal.sha256)


def _full(full: Full) -> Response:
    message = f"{full}; ask /api/fleet now and then"
    return JSONResponse(body_of(message), 503, {"Retry-After": FULL_SECONDS})


def _number(text: str | None) -> int | None:
    if text is None or not text.strip():
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER):
        raise refused_field("Last-Event-ID", "must be the id of an event, a number")
    return int(text)
