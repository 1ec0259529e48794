"""`/api/session` and `/api/me`: a browser signs in with a token, once, and out again."""

from fastapi import APIRouter, Request, Response

from defib_api import people_examples as examples
from defib_api.asking import AskedBy, Client, source_of
from defib_api.auth import CHALLENGE, MISSING, Authenticated, Credentials, Principal, by_token
from defib_api.cookies import csrf_token_of, drop, keep, session_of
from defib_api.documented import documented
from defib_api.errors import ApiError
from defib_api.routes.found import ServicesOf
from defib_api.schemas.controls import Done
from defib_api.schemas.people import Me
from defib_core.store.audit import Who
from defib_core.store.clock import database_now
from defib_core.store.sessions import NewSession, begin_session, end_session
from defib_core.store.tokens import Via

router = APIRouter(prefix="/api", tags=["People"])
begin = APIRouter(prefix="/api", tags=["People"])


@begin.post(
    "/session",
    operation_id="beginSession",
    summary="Sign in with a token",
    responses=documented(examples.ME, 400, 401, 413, 415, 429, 503),
)
async def begin_session_(
    request: Request,
    response: Response,
    services: ServicesOf,
    credentials: Credentials,
    client: Client = None,
) -> Me:
    """Exchange a token in the Authorization header for a session cookie, of twelve hours at most.

    The cookie is out of reach of scripts. Whatever changes something must then carry `csrfToken`
    in the header X-CSRF-Token. Ending the token ends the session.
    """
    if credentials is None:
        raise ApiError(401, MISSING, headers=CHALLENGE)
    principal = await by_token(request, services, credentials.credentials)
    wanted = NewSession(principal.name, principal.role, Via.SESSION, principal.token)
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        who = Who(principal.name, source_of(client))
        before = session_of(request)
        if before is not None:
            await end_session(connection, who, before, now)
        secret, ends = await begin_session(connection, who, wanted, now)
    keep(request, response, secret, ends)
    return Me(
        name=principal.name,
        role=principal.role,
        via=Via.SESSION,
        csrf_token=csrf_token_of(secret),
        expires_at=ends,
    )


@router.delete(
    "/session",
    operation_id="endSession",
    summary="Sign out",
    responses=documented(examples.SIGNED_OUT, 401, 503),
)
async def end_session_(
    request: Request, response: Response, services: ServicesOf, who: AskedBy
) -> Done:
    """End the session of this browser, for every replica within seconds."""
    secret = session_of(request)
    if secret is None:
        return Done(changed=False, message="there is no session; a token is ended by revoking it")
    async with services.engine.begin() as connection:
        await end_session(connection, who, secret, await database_now(connection))
    services.keys.forget(secret.encode("utf-8", "replace"))
    drop(request, response)
    return Done(changed=True, message="signed out; the session's cookie is good for nothing now")


@router.get(
    "/me",
    operation_id="getMe",
    summary="Who am I",
    responses=documented(examples.ME, 401, 503),
)
async def get_me(principal: Authenticated) -> Me:
    """Who asks, with which role, and by which way he was identified."""
    return _me(principal)


def _me(principal: Principal) -> Me:
    return Me(
        name=principal.name,
        role=principal.role,
        via=principal.via,
        csrf_token=principal.csrf_token,
        expires_at=principal.expires_at,
    )
