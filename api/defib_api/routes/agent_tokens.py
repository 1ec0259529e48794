"""Tokens of agents, for administrators: enrolment tokens made and ended, VMs' tokens changed."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query

from defib_api import enrolment_examples as examples
from defib_api.asking import AskedBy
from defib_api.documented import documented
from defib_api.errors import ApiError, refused_field
from defib_api.routes.found import ServicesOf
from defib_api.schemas.base import written
from defib_api.schemas.controls import Done
from defib_api.schemas.enrolment import (
    AgentToken,
    EnrolmentToken,
    EnrolmentTokenMade,
    EnrolmentWishBody,
    RotateWish,
    TokenRotated,
)
from defib_api.schemas.identifiers import (
    AGENT_TOKEN_ID,
    API_TOKEN_ID,
    ENROLMENT_ID,
    VM_ID,
    agent_token_id_text,
    enrolment_id_text,
    read_id,
)
from defib_core.store import agent_tokens, enrolment_tokens, registry, tokens
from defib_core.store.clock import database_now
from defib_core.store.enrolment_tokens import EnrolmentWish
from defib_core.store.tokens import UnknownCluster

LISTED, LISTED_MOST = 1000, 1000

router = APIRouter(prefix="/api", tags=["Tokens"])

EnrolmentId = Annotated[str, Path(examples=["enrolment_9"])]
TokenId = Annotated[str, Path(examples=["agent_token_7"])]


@router.post(
    "/enrolment-tokens",
    operation_id="createEnrolmentToken",
    summary="Make an enrolment token",
    responses=documented(examples.ENROLMENT_MADE, 400, 401, 413, 415, 503),
)
async def create_enrolment_token(
    services: ServicesOf, who: AskedBy, wanted: EnrolmentWishBody
) -> EnrolmentTokenMade:
    """Make a token that machines exchange for one of their own. It is shown this once."""
    namespace = services.settings.namespace
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        await registry.ensure_defaults(connection, namespace)
        try:
            cluster_id = await tokens.cluster_id_of(connection, namespace, wanted.cluster)
        except UnknownCluster as error:
            raise refused_field("cluster", f"is not known: {error}; apply it first") from error
        expires_at = now + timedelta(minutes=wanted.minutes)
        wish = EnrolmentWish(
            name=wanted.name,
            cluster_id=cluster_id,
            vmids=wanted.vmids,
            match_labels=wanted.match_labels,
            uses=wanted.uses,
            expires_at=expires_at,
        )
        made = await enrolment_tokens.create_enrolment_token(connection, who, wish, now)
    machines = "1 machine" if wanted.uses == 1 else f"{wanted.uses} machines"
    message = (
        f"{wanted.name} lets in {machines} until {written(expires_at)}. It is shown this once."
    )
    return EnrolmentTokenMade(
        message=message, id=enrolment_id_text(made[0]), token=made[1], expires_at=expires_at
    )


@router.get(
    "/enrolment-tokens",
    operation_id="listEnrolmentTokens",
    summary="Enrolment tokens",
    responses=documented([examples.ENROLMENT], 401, 503),
)
async def list_enrolment_tokens(services: ServicesOf) -> list[EnrolmentToken]:
    """Those that are neither revoked nor expired, the newest first."""
    async with services.reading() as connection:
        found = await enrolment_tokens.enrolment_tokens(connection)
    return [EnrolmentToken.from_listed(one) for one in found]


@router.delete(
    "/enrolment-tokens/{token_id}",
    operation_id="revokeEnrolmentToken",
    summary="Revoke an enrolment token",
    responses=documented(examples.ENROLMENT_REVOKED, 401, 404, 503),
)
async def revoke_enrolment_token(services: ServicesOf, who: AskedBy, token_id: EnrolmentId) -> Done:
    """End it now. The machines it let in go on with tokens of their own."""
    number = read_id(ENROLMENT_ID, token_id)
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        name = None
        if number is not None:
            name = await enrolment_tokens.revoke_enrolment_token(connection, who, number, now)
    if name is None:
        raise ApiError(404, f"there is no enrolment token {token_id[:40]!r} in force")
    message = f"{name} is revoked; the machines it let in go on with their tokens"
    return Done(changed=True, message=message)


@router.get(
    "/agent-tokens",
    operation_id="listAgentTokens",
    summary="Tokens of agents",
    responses=documented([examples.AGENT_TOKEN], 400, 401, 503),
)
async def list_agent_tokens(
    services: ServicesOf,
    vm: Annotated[str | None, Query(description="Only of this VM.", examples=["vm_123"])] = None,
    limit: Annotated[int, Query(ge=1, le=LISTED_MOST)] = LISTED,
    after: Annotated[
        str | None, Query(description="Only those after this one.", examples=["agent_token_7"])
    ] = None,
) -> list[AgentToken]:
    """Those in force: shared keys first, then those of single VMs, the oldest first."""
    vm_id = None if vm is None else read_id(VM_ID, vm)
    since = 0 if after is None else read_id(AGENT_TOKEN_ID, after)
    if vm is not None and vm_id is None:
        raise refused_field("vm", "must be the id of a VM, such as vm_123")
    if since is None:
        raise refused_field("after", "must be the id of a VM's token, such as agent_token_7")
    async with services.reading() as connection:
        found = await agent_tokens.agent_tokens(connection, limit=limit, after=since, vm_id=vm_id)
    return [AgentToken.from_listed(one) for one in found]


@router.post(
    "/agent-tokens/{token_id}/rotate",
    operation_id="rotateAgentToken",
    summary="Give a VM its next token",
    responses=documented(examples.ROTATED, 400, 401, 404, 413, 415, 503),
)
async def rotate_agent_token(
    services: ServicesOf, who: AskedBy, token_id: TokenId, wanted: RotateWish
) -> TokenRotated:
    """Make the next token of a VM, shown this once; the one before goes on for a while."""
    number = read_id(AGENT_TOKEN_ID, token_id)
    grace = timedelta(seconds=wanted.grace_seconds)
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        made = None
        if number is not None:
            made = await agent_tokens.rotate(connection, who, number, grace, now)
    if made is None:
        raise ApiError(404, f"there is no token {token_id[:40]!r} of a VM that can be rotated")
    end = now + grace
    message = (
        f"This is the next token, shown this once; the one before goes on until {written(end)}"
    )
    return TokenRotated(
        message=message, id=agent_token_id_text(made[0]), token=made[1], old_expires_at=end
    )


@router.delete(
    "/agent-tokens/{token_id}",
    operation_id="revokeAgentToken",
    summary="Revoke an agent's token",
    responses=documented(examples.TOKEN_REVOKED, 401, 404, 503),
)
async def revoke_agent_token(services: ServicesOf, who: AskedBy, token_id: TokenId) -> Done:
    """End a VM's token, or a shared key, now. Refused reports go on showing that a VM is alive."""
    number = read_id(AGENT_TOKEN_ID, token_id)
    shared = read_id(API_TOKEN_ID, token_id)
    async with services.engine.begin() as connection:
        now = await database_now(connection)
        name = None
        if number is not None or shared is not None:
            name = await agent_tokens.revoke(
                connection, who, number or shared or 0, now, shared=shared is not None
            )
    if name is None:
        raise ApiError(404, f"there is no agent's token {token_id[:40]!r} in force")
    message = (
        f"the token of {name} is revoked: within seconds its reports are refused, which shows that"
        " the VM is alive, but keeps it from being reset while its agent goes on"
    )
    return Done(changed=True, message=message)
