"""Tokens of people and programs: a role and an end each. Made, listed, revoked; digests only."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.roles import Role
from defib_core.store.audit import Deed, Who, audit
from defib_core.store.tokens import digest

PREFIX = "defib_person_"


@dataclass(frozen=True, slots=True)
class ListedPersonalToken:
    """A token in force, as it is shown: never the token itself."""

    id: int
    name: str
    role: Role
    created_by: str
    created_at: datetime
    expires_at: datetime


ADD = text("""
INSERT INTO personal_token (sha256, name, role, created_by, expires_at)
VALUES (:sha256, :name, :role, :by, :expires_at) RETURNING id
""")
LISTED = text("""
SELECT id, name, role, created_by, created_at, expires_at FROM personal_token
WHERE revoked_at IS NULL AND expires_at > defib_now() ORDER BY id DESC LIMIT 500
""")
REVOKE = text("""
UPDATE personal_token SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL RETURNING name
""")


async def create_personal_token(  # noqa: PLR0917 - a row
    connection: AsyncConnection,
    who: Who,
    name: str,
    role: Role,
    expires_at: datetime,
    now: datetime,
) -> tuple[int, str]:
    """Make a token; return its id, and the token, which cannot be read again."""
    token = PREFIX + secrets.token_urlsafe(32)
    row = {
        "sha256": digest(token),
        "name": name,
        "role": role.value,
        "by": who.actor,
        "expires_at": expires_at,
    }
    token_id = int((await connection.execute(ADD, row)).scalar_one())
    detail = {"token": token_id, "name": name, "role": role.value}
    await audit(connection, who, Deed.MAKE_PERSONAL, now, None, detail)
    return token_id, token


async def personal_tokens(connection: AsyncConnection) -> Sequence[ListedPersonalToken]:
    """Read those in force, the newest first; 500 at most."""
    rows = await connection.execute(LISTED)
    return [ListedPersonalToken(**{**row._mapping, "role": Role(row.role)}) for row in rows]


async def revoke_personal_token(
    connection: AsyncConnection, who: Who, token_id: int, now: datetime
) -> str | None:
    """End a token, and the sessions begun with it; return its name, None where there is none."""
    found = await connection.execute(REVOKE, {"id": token_id, "now": now})
    name = found.scalar_one_or_none()
    if name is None:
        return None
    detail = {"token": token_id, "name": name}
    await audit(connection, who, Deed.END_PERSONAL, now, None, detail)
    return str(name)
