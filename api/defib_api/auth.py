"""Who is asking, and may he: the one place where the dashboard's API authenticates.

A token in the Authorization header, else a session cookie, else what a trusted proxy says.
The roles are in rights.py.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from defib_api.cookies import csrf_token_of, session_of, wrong_origin
from defib_api.errors import ApiError
from defib_api.oidc.person import NoRole
from defib_api.rights import needed_for
from defib_api.services import Services, services_of
from defib_api.trusted_proxy import HeaderRefused
from defib_core.domain.roles import Role
from defib_core.store.tokens import KnownToken, TokenKind, Via, digest

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="defib"'}
MISSING = (
    "sign in first: send an administrator's token as Authorization: Bearer <token>;"
    " `defib token create` makes one"
)
WRONG = "the token in the Authorization header is not valid: it is unknown, expired or revoked"
AGENT = "the token in the Authorization header is an agent's key, which may only send reports"
ENDED = "the session has ended; sign in again"
COOKIE_AS_TOKEN = "a session's cookie is no token"  # noqa: S105 - a message

bearer = HTTPBearer(
    scheme_name="AdminToken",
    description="A token of a person or a program, made by `defib token create`.",
    auto_error=False,
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
ServicesOf = Annotated[Services, Depends(services_of)]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the name that is written into histories, the rights, and how it was proven."""

    name: str
    role: Role
    via: Via
    token: KnownToken | None = None
    csrf_token: str | None = None
    """What a page with a session cookie sends with each change."""
    sha256: bytes | None = None
    """The digest of what he showed; None where a proxy vouches for him."""

    @property
    def expires_at(self) -> datetime | None:
        """When it ends by itself."""
        return None if self.token is None else self.token.expires_at


async def principal_of(
    request: Request, services: ServicesOf, credentials: Credentials
) -> Principal:
    """Say who asks, or refuse with 401; with 403 where his role does not reach."""
    principal = await identified(request, services, credentials)
    route = request.scope.get("route")
    needed = needed_for(getattr(route, "operation_id", None))
    if not principal.role.may(needed):
        raise ApiError(403, lacking(principal, needed))
    return principal


async def identified(
    request: Request, services: Services, credentials: HTTPAuthorizationCredentials | None
) -> Principal:
    """Say who asks, whatever his role; or refuse with 401."""
    if credentials is not None:
        return await by_token(request, services, credentials.credentials)
    secret = session_of(request)
    if secret is None:
        return _by_proxy(request, services)
    shown = _digest_of(secret)
    token = await services.keys.find_digest(shown)
    if token is None or token.role is None or token.via is Via.TOKEN:
        slow_down(request, services)
        raise ApiError(401, ENDED, headers=CHALLENGE)
    wrong = wrong_origin(request, secret)
    if wrong is not None:
        raise ApiError(403, f"nothing was changed: {wrong}")
    return Principal(token.name, token.role, token.via, token, csrf_token_of(secret), shown)


def _by_proxy(request: Request, services: Services) -> Principal:
    """Believe a trusted proxy; the browser sends its cookies for others, so changes are guarded."""
    proxy = services.sign_in.proxy
    try:
        person = None if proxy is None else proxy.person(request)
    except HeaderRefused as error:
        slow_down(request, services)
        raise ApiError(401, str(error), headers=CHALLENGE) from error
    except NoRole as error:
        raise ApiError(403, str(error)) from error
    if person is None:
        raise ApiError(401, MISSING, headers=CHALLENGE)
    wrong = wrong_origin(request, person.name)
    if wrong is not None:
        raise ApiError(403, f"nothing was changed: {wrong}")
    return Principal(person.name, person.role, Via.PROXY, None, csrf_token_of(person.name))


async def by_token(request: Request, services: Services, text: str) -> Principal:
    """Say whose a token is; or refuse with 401."""
    shown = _digest_of(text)
    token = await services.keys.find_digest(shown)
    if token is None:
        slow_down(request, services)
        raise ApiError(401, WRONG, headers=CHALLENGE)
    if token.kind is not TokenKind.ADMIN or token.role is None:
        raise ApiError(401, AGENT, headers=CHALLENGE)
    if token.via is not Via.TOKEN:
        raise ApiError(401, COOKIE_AS_TOKEN, headers=CHALLENGE)
    return Principal(token.name, token.role, token.via, token, sha256=shown)


def _digest_of(secret: str) -> bytes:
    return digest(secret.encode("utf-8", "replace"))


def lacking(principal: Principal, needed: Role) -> str:
    """Say which role is missing."""
    return f"{principal.name} is {principal.role.value} here, and this needs {needed.value}"


def address_of(request: Request) -> str:
    """Say where a request comes from."""
    return request.client.host if request.client is not None else ""


def slow_down(request: Request, services: Services) -> None:
    """Count a failure; refuse with 429 where an address has had too many."""
    address = address_of(request)
    wait = services.failures.wait(address)
    if wait:
        message = f"too many wrong tokens came from this address; try again in {wait} s"
        raise ApiError(429, message, headers={"Retry-After": str(wait)})
    services.failures.failed(address)


Authenticated = Annotated[Principal, Depends(principal_of)]
