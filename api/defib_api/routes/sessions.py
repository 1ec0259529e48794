"""`/api/sessions`: which browsers are signed in, and signing them out, for administrators."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from defib_api import people_examples as examples
from defib_api.asking import AskedBy
from defib_api.cookies import session_of
from defib_api.documented import documented
from defib_api.errors import ApiError
from defib_api.oidc.person import NAME_MOST
from defib_api.routes.found import ServicesOf
from defib_api.schemas.controls import Done
from defib_api.schemas.identifiers import SESSION_ID, read_id
from defib_api.schemas.people import Session
from defib_api.services import Services
from defib_core.store import sessions as store
from defib_core.store.clock import database_now
from defib_core.store.sessions import Ended

router = APIRouter(prefix="/api/sessions", tags=["People"])

SessionId = Annotated[str, Path(examples=["session_9"])]
Whose = Query(min_length=1, max_length=NAME_MOST, description="Whose.", examples=["kim"])


@router.get(
    "",
    operation_id="listSessions",
    summary="Who is signed in",
    responses=documented([examples.SESSION], 400, 401, 403, 503),
)
async def list_sessions(
    request: Request, services: ServicesOf, name: Annotated[str | None, Whose] = None
) -> list[Session]:
    """Browsers that are signed in, the newest first; 500 at most. Never their secrets."""
    async with services.reading() as connection:
        found = await store.sessions(connection, name, session_of(request))
    return [Session.from_listed(one) for one in found]


@router.delete(
    "/{session_id}",
    operation_id="endSessionOf",
    summary="Sign a browser out",
    responses=documented(examples.SESSION_ENDED, 401, 403, 404, 503),
)
async def end_session_of(services: ServicesOf, who: AskedBy, session_id: SessionId) -> Done:
    """End one session now: here at once, at every replica within seconds."""
    number = read_id(SESSION_ID, session_id)
    ended = None
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        if number is not None:
            ended = await store.end_session_of(connection, who, number, now)
    if ended is None:
        raise ApiError(404, f"there is no session {session_id[:40]!r} in force")
    _forget(services, [ended])
    return Done(changed=True, message=f"the session of {ended.name} is ended")


@router.delete(
    "",
    operation_id="endSessionsOf",
    summary="Sign a person out everywhere",
    responses=documented(examples.SESSIONS_ENDED, 400, 401, 403, 503),
)
async def end_sessions_of(services: ServicesOf, who: AskedBy, name: Annotated[str, Whose]) -> Done:
    """End all sessions of a person, as when he leaves. His tokens are ended at /api/tokens."""
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        ended = await store.end_sessions_of(connection, who, name, now)
    _forget(services, ended)
    if not ended:
        return Done(changed=False, message=f"{name} has no session in force")
    many = "1 session" if len(ended) == 1 else f"{len(ended)} sessions"
    verb = "is" if len(ended) == 1 else "are"
    return Done(changed=True, message=f"{many} of {name} {verb} ended")


def _forget(services: Services, ended: Sequence[Ended]) -> None:
    services.keys.forget_digests({one.sha256 for one in ended})
