"""`/api/tokens`: tokens of people and programs, each with a role and an end, for administrators."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path

from defib_api import people_examples as examples
from defib_api.asking import AskedBy
from defib_api.documented import documented
from defib_api.errors import ApiError
from defib_api.routes.found import ServicesOf
from defib_api.schemas.base import written
from defib_api.schemas.controls import Done
from defib_api.schemas.identifiers import PERSONAL_TOKEN_ID, personal_token_id_text, read_id
from defib_api.schemas.people import PersonalToken, PersonalTokenMade, PersonalTokenWish
from defib_core.store import personal_tokens as store
from defib_core.store.clock import database_now

router = APIRouter(prefix="/api/tokens", tags=["People"])

TokenId = Annotated[str, Path(examples=["personal_token_4"])]


@router.post(
    "",
    operation_id="createPersonalToken",
    summary="Make a token for a person or a program",
    responses=documented(examples.PERSONAL_MADE, 400, 401, 403, 413, 415, 503),
)
async def create_personal_token(
    services: ServicesOf, who: AskedBy, wanted: PersonalTokenWish
) -> PersonalTokenMade:
    """Make a token with a role and an end. It is shown this once."""
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        ends = now + timedelta(days=wanted.days)
        token_id, token = await store.create_personal_token(
            connection, who, wanted.name, wanted.role, ends, now
        )
    message = (
        f"{wanted.name} is {wanted.role.value} until {written(ends)}. The token is shown this once."
    )
    return PersonalTokenMade(
        message=message, id=personal_token_id_text(token_id), token=token, expires_at=ends
    )


@router.get(
    "",
    operation_id="listPersonalTokens",
    summary="Tokens of people and programs",
    responses=documented([examples.PERSONAL], 401, 403, 503),
)
async def list_personal_tokens(services: ServicesOf) -> list[PersonalToken]:
    """Those in force, the newest first. Administrators' tokens of `defib token create` are not."""
    async with services.reading() as connection:
        found = await store.personal_tokens(connection)
    return [PersonalToken.from_listed(one) for one in found]


@router.delete(
    "/{token_id}",
    operation_id="revokePersonalToken",
    summary="Revoke a token",
    responses=documented(examples.PERSONAL_REVOKED, 401, 403, 404, 503),
)
async def revoke_personal_token(services: ServicesOf, who: AskedBy, token_id: TokenId) -> Done:
    """End it now, and the sessions that were begun with it."""
    number = read_id(PERSONAL_TOKEN_ID, token_id)
    name = None
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        if number is not None:
            name = await store.revoke_personal_token(connection, who, number, now)
    if name is None:
        raise ApiError(404, f"there is no token {token_id[:40]!r} in force")
    message = f"the token of {name} is revoked, and so are the sessions begun with it"
    return Done(changed=True, message=message)
