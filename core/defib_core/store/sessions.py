"""Browsers' sessions: begun with a token or a sign-in; ended by hand, time, or with the token."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.roles import Role
from defib_core.store.audit import Deed, Who, audit
from defib_core.store.tokens import KnownToken, Via, digest

PREFIX = "defib_session_"
LASTING = timedelta(hours=12)
KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class NewSession:
    """Whose session is to begin, and on what it stands."""

    name: str
    role: Role
    via: Via
    token: KnownToken | None = None
    """The token that was shown: the session ends with it."""
    subject: str | None = None
    """What the OpenID provider calls him for ever; for the audit log, as names may change."""


ADD = text("""
INSERT INTO session (sha256, name, role, via, api_token_id, personal_token_id, expires_at)
VALUES (:sha256, :name, :role, :via, :api_token_id, :personal_token_id, :expires_at)
""")
FORGET = text("DELETE FROM session WHERE expires_at < :before")
END = text("UPDATE session SET ended_at = :now WHERE sha256 = :sha256 AND ended_at IS NULL")


async def begin_session(
    connection: AsyncConnection, who: Who, wanted: NewSession, now: datetime
) -> tuple[str, datetime]:
    """Begin a session; return the cookie's value, which cannot be read again, and its end."""
    secret = PREFIX + secrets.token_urlsafe(32)
    token = wanted.token
    ends = now + LASTING
    if token is not None and token.expires_at is not None:
        ends = min(ends, token.expires_at)
    await connection.execute(FORGET, {"before": now - KEPT})
    await connection.execute(
        ADD,
        {
            "sha256": digest(secret),
            "name": wanted.name,
            "role": wanted.role.value,
            "via": wanted.via.value,
            "api_token_id": token.id if token is not None and not token.personal else None,
            "personal_token_id": token.id if token is not None and token.personal else None,
            "expires_at": ends,
        },
    )
    detail = {"role": wanted.role.value, "via": wanted.via.value, "subject": wanted.subject}
    await audit(connection, who, Deed.SIGN_IN, now, None, detail)
    return secret, ends


async def end_session(connection: AsyncConnection, who: Who, secret: str, now: datetime) -> None:
    """End a session now, for every replica."""
    ended = await connection.execute(END, {"sha256": digest(secret), "now": now})
    if ended.rowcount:
        await audit(connection, who, Deed.SIGN_OUT, now)
