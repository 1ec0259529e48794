"""`/api/sign-in` and `/api/oidc`: a browser goes to the OpenID provider and comes back known.

These are pages for browsers, so what goes wrong is told in HTML to who takes that.
"""

import hmac
from datetime import datetime
from html import escape
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, Field

from defib_api import people_examples as examples
from defib_api.auth import slow_down
from defib_api.cookies import (
    attempt_of,
    drop_attempt,
    keep,
    keep_attempt,
    session_of,
)
from defib_api.documented import documented
from defib_api.errors import ApiError, body_of, refused_field
from defib_api.oidc.attempt import Attempt, is_local
from defib_api.oidc.id_token import TokenRefused
from defib_api.oidc.person import NoRole, Person, person_of
from defib_api.oidc.provider import CodeRefused, Provider, ProviderFails
from defib_api.routes.found import ServicesOf
from defib_api.schemas.sign_in import OidcWay, SignInWays
from defib_api.services import Services
from defib_core.domain.actions import Source
from defib_core.store.audit import Who
from defib_core.store.clock import database_now
from defib_core.store.sessions import NewSession, begin_session, end_session
from defib_core.store.tokens import Via

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/api", tags=["People"])
browsers = APIRouter(prefix="/api/oidc", include_in_schema=False)

LOGIN = "/api/oidc/login"
AWAY_SECONDS = "10"
Text = Annotated[str | None, Field(max_length=4096)]
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Not signed in - Defib</title></head>
<body><h1>You are not signed in</h1><p>{message}</p><p><a href="/">Back to Defib</a></p></body>
</html>
"""


class Said(BaseModel):
    """What the provider has the browser bring back."""

    code: Text = None
    state: Text = None
    error: Text = None
    issuer: Text = Field(default=None, alias="iss")


class NotSignedIn(Exception):
    """The person is not let in; `message` is for him."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@router.get(
    "/sign-in",
    operation_id="getSignIn",
    summary="How to sign in",
    responses=documented(examples.WAYS),
)
async def get_sign_in(services: ServicesOf) -> SignInWays:
    """The ways that are open here; asks for no token, as it comes before all."""
    settings = services.settings
    oidc = None
    if services.sign_in.provider is not None:
        oidc = OidcWay(label=settings.oidc_label, url=LOGIN)
    return SignInWays(token=True, oidc=oidc, proxy=services.sign_in.proxy is not None)


@browsers.get("/login")
async def begin_oidc(
    services: ServicesOf, request: Request, to: Annotated[str, Query(alias="next")] = "/"
) -> Response:
    """Send the browser to the provider."""
    if not is_local(to):
        raise refused_field("next", "must be a path of this server, such as /vm/vm_12")
    attempt = Attempt.begin(to)
    try:
        address = await _provider(services).address_for(attempt)
    except ProviderFails as error:
        return _page(request, _away(error))
    response = RedirectResponse(address, 303)
    keep_attempt(request, response, attempt)
    return response


@browsers.get("/callback")
async def finish_oidc(
    services: ServicesOf, request: Request, said: Annotated[Said, Query()]
) -> Response:
    """Take the browser back: exchange the code, begin a session, show where he wanted to go."""
    provider = _provider(services)
    try:
        attempt = _attempt(request, said, provider)
        response = await _let_in(services, request, provider, said.code or "", attempt)
    except NotSignedIn as refusal:
        slow_down(request, services)
        response = _page(request, refusal)
    drop_attempt(request, response)
    return response


async def _let_in(
    services: Services, request: Request, provider: Provider, code: str, attempt: Attempt
) -> Response:
    async with services.reading() as connection:
        now = await database_now(connection)
    person = await _person(services, provider, code, attempt, now)
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        who = Who(person.name, Source.DASHBOARD)
        before = session_of(request)
        if before is not None:
            await end_session(connection, who, before, now)
        wanted = NewSession(person.name, person.role, Via.OIDC, subject=person.subject)
        secret, ends = await begin_session(connection, who, wanted, now)
    log.info("oidc.signed_in", name=person.name, role=person.role.value)
    response = RedirectResponse(attempt.next, 303)
    keep(request, response, secret, ends)
    return response


async def _person(
    services: Services, provider: Provider, code: str, attempt: Attempt, now: datetime
) -> Person:
    try:
        claims = await provider.claims_of(code, attempt, now)
        return person_of(claims, services.sign_in.rules)
    except ProviderFails as error:
        raise _away(error) from error
    except (CodeRefused, TokenRefused) as error:
        log.warning("oidc.refused", why=str(error))
        raise NotSignedIn(
            401, "the provider's answer was refused, and the log says why; sign in again"
        ) from error
    except NoRole as error:
        log.warning("oidc.no_role", why=str(error))
        raise NotSignedIn(403, str(error)) from error


def _attempt(request: Request, said: Said, provider: Provider) -> Attempt:
    """Find the attempt of this browser that the answer belongs to."""
    attempt = attempt_of(request)
    if attempt is None or said.state is None or not _same(said.state, attempt.state):
        raise NotSignedIn(
            400, "this answer belongs to no sign-in that this browser began; sign in again"
        )
    if said.issuer is not None and said.issuer != provider.issuer:
        raise NotSignedIn(400, "this answer is from another provider; sign in again")
    if said.code is None:
        why = (said.error or "no code")[:100]
        raise NotSignedIn(403, f"the provider did not let you in ({why})")
    return attempt


def _same(said: str, meant: str) -> bool:
    return hmac.compare_digest(said.encode("utf-8", "replace"), meant.encode())


def _provider(services: Services) -> Provider:
    provider = services.sign_in.provider
    if provider is None:
        raise ApiError(404, "no OpenID provider is set up here (DEFIB_OIDC_ISSUER)")
    return provider


def _away(error: ProviderFails) -> NotSignedIn:
    log.warning("oidc.provider_fails", why=str(error))
    return NotSignedIn(503, "the OpenID provider does not answer as it should; try again later")


def _page(request: Request, refusal: NotSignedIn) -> Response:
    headers = {"Retry-After": AWAY_SECONDS} if refusal.status == 503 else None  # noqa: PLR2004
    if "text/html" in request.headers.get("accept", ""):
        page = PAGE.format(message=escape(refusal.message))
        return HTMLResponse(page, refusal.status, headers)
    return JSONResponse(body_of(refusal.message), refusal.status, headers)
