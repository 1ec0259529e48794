"""Who is asking: the one place where the dashboard's API authenticates.

Today an administrator's token; another way in becomes another branch of `principal_of`.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from defib_api.errors import ApiError
from defib_api.services import Services, services_of
from defib_core.store.tokens import TokenKind

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="defib"'}
MISSING = (
    "sign in first: send an administrator's token as Authorization: Bearer <token>;"
    " `defib token create` makes one"
)
WRONG = "the token in the Authorization header is not valid: it is unknown, expired or revoked"
AGENT = "the token in the Authorization header is an agent's key, which may only send reports"

bearer = HTTPBearer(
    scheme_name="AdminToken",
    description="An administrator's token, made by `defib token create`.",
    auto_error=False,
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the name that is written into histories, and how it was proven."""

    name: str
    kind: str


async def principal_of(
    services: Annotated[Services, Depends(services_of)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Principal:
    """Say who asks, or refuse with 401."""
    if credentials is None:
        raise ApiError(401, MISSING, headers=CHALLENGE)
    token = await services.keys.find(credentials.credentials.encode("utf-8", "replace"))
    if token is None:
        raise ApiError(401, WRONG, headers=CHALLENGE)
    if token.kind is not TokenKind.ADMIN:
        raise ApiError(401, AGENT, headers=CHALLENGE)
    return Principal(name=token.name, kind="token")


Authenticated = Annotated[Principal, Depends(principal_of)]
