"""Enrolment tokens: made for a short time and a few machines, listed, revoked. Digests only."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.audit import Deed, Who, audit
from defib_core.store.tokens import digest

PREFIX = "defib_enrol_"


@dataclass(frozen=True, slots=True)
class EnrolmentWish:
    """What an enrolment token is to be good for."""

    name: str
    cluster_id: int
    vmids: tuple[int, int] | None
    match_labels: Mapping[str, str]
    uses: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ListedEnrolmentToken:
    """An enrolment token that is not revoked, as it is shown: never the token itself."""

    id: int
    name: str
    cluster: str
    vmid_from: int | None
    vmid_to: int | None
    match_labels: Mapping[str, str]
    uses: int
    uses_most: int
    created_by: str
    created_at: datetime
    expires_at: datetime


ADD = text("""
INSERT INTO enrolment_token
    (sha256, name, cluster_id, vmid_from, vmid_to, match_labels, uses_most, created_by, expires_at)
VALUES (:sha256, :name, :cluster_id, :vmid_from, :vmid_to, CAST(:labels AS jsonb), :uses, :by,
    :expires_at)
RETURNING id
""")
LISTED = text("""
SELECT t.id, t.name, c.name AS cluster, t.vmid_from, t.vmid_to, t.match_labels, t.uses, t.uses_most,
    t.created_by, t.created_at, t.expires_at
FROM enrolment_token t JOIN proxmox_cluster c ON c.id = t.cluster_id
WHERE t.revoked_at IS NULL AND t.expires_at > defib_now() ORDER BY t.id DESC LIMIT 500
""")
REVOKE = text("""
UPDATE enrolment_token SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL RETURNING name
""")


async def create_enrolment_token(
    connection: AsyncConnection, who: Who, wish: EnrolmentWish, now: datetime
) -> tuple[int, str]:
    """Make a token; return its id, and the token, which cannot be read again."""
    token = PREFIX + secrets.token_urlsafe(32)
    vmid_from, vmid_to = wish.vmids or (None, None)
    found = await connection.execute(
        ADD,
        {
            "sha256": digest(token),
            "name": wish.name,
            "cluster_id": wish.cluster_id,
            "vmid_from": vmid_from,
            "vmid_to": vmid_to,
            "labels": json.dumps(dict(wish.match_labels)),
            "uses": wish.uses,
            "by": who.actor,
            "expires_at": wish.expires_at,
        },
    )
    token_id = int(found.scalar_one())
    detail = {"token": token_id, "name": wish.name, "uses": wish.uses}
    await audit(connection, who, Deed.MAKE_ENROLMENT, now, None, detail)
    return token_id, token


async def enrolment_tokens(connection: AsyncConnection) -> Sequence[ListedEnrolmentToken]:
    """Read those that are neither revoked nor expired, the newest first; 500 at most."""
    return [ListedEnrolmentToken(**row._mapping) for row in await connection.execute(LISTED)]


async def revoke_enrolment_token(
    connection: AsyncConnection, who: Who, token_id: int, now: datetime
) -> str | None:
    """End an enrolment token now; return its name, or None where there is none.

    The tokens that machines got for it go on.
    """
    found = await connection.execute(REVOKE, {"id": token_id, "now": now})
    name = found.scalar_one_or_none()
    if name is None:
        return None
    detail = {"token": token_id, "name": name}
    await audit(connection, who, Deed.END_ENROLMENT, now, None, detail)
    return str(name)
