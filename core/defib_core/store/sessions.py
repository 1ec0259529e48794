"""Browsers' sessions: begun with a token or a sign-in; ended by hand, time, or with the token."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.roles import Role
from defib_core.store.audit import Deed, Who, audit
from defib_core.store.tokens import SESSIONS_IN_FORCE, KnownToken, Via, digest

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


@dataclass(frozen=True, slots=True)
class ListedSession:
    """A session in force, as an administrator sees it: never its secret."""

    id: int
    name: str
    role: Role
    via: Via
    created_at: datetime
    expires_at: datetime
    api_token_id: int | None
    personal_token_id: int | None
    is_current: bool
    """It is that of whoever asks."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that was ended: whose, and its digest, for forgetting it at once."""

    name: str
    sha256: bytes


ADD = text("""
INSERT INTO session (sha256, name, role, via, api_token_id, personal_token_id, expires_at)
VALUES (:sha256, :name, :role, :via, :api_token_id, :personal_token_id, :expires_at)
""")
FORGET = text("DELETE FROM session WHERE expires_at < :before")
END = text("UPDATE session SET ended_at = :now WHERE sha256 = :sha256 AND ended_at IS NULL")
LISTED = text(f"""
SELECT s.id, s.name, s.role, s.via, s.created_at, s.expires_at, s.api_token_id,
    s.personal_token_id, coalesce(s.sha256 = CAST(:mine AS bytea), false) AS is_current
{SESSIONS_IN_FORCE} AND (CAST(:name AS text) IS NULL OR s.name = :name)
ORDER BY s.id DESC LIMIT 500
""")
END_SOME = text("""
UPDATE session SET ended_at = :now
WHERE ended_at IS NULL AND expires_at > :now
  AND (id = CAST(:id AS bigint) OR name = CAST(:name AS text))
RETURNING name, sha256
""")


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


async def sessions(
    connection: AsyncConnection, name: str | None, mine: str | None
) -> Sequence[ListedSession]:
    """Read those in force, the newest first; 500 at most. `mine` is the secret of who asks."""
    bound = {"name": name, "mine": None if mine is None else digest(mine)}
    return [
        ListedSession(**{**row._mapping, "role": Role(row.role), "via": Via(row.via)})
        for row in await connection.execute(LISTED, bound)
    ]


async def end_session_of(
    connection: AsyncConnection, who: Who, session_id: int, now: datetime
) -> Ended | None:
    """End one session of anybody; None where there is none."""
    ended = await _end(connection, now, session_id=session_id)
    for one in ended:
        await audit(
            connection, who, Deed.SIGN_OUT, now, None, {"name": one.name, "session": session_id}
        )
    return ended[0] if ended else None


async def end_sessions_of(
    connection: AsyncConnection, who: Who, name: str, now: datetime
) -> Sequence[Ended]:
    """End all sessions of a person, as when he leaves."""
    ended = await _end(connection, now, name=name)
    if ended:
        detail = {"name": name, "sessions": len(ended)}
        await audit(connection, who, Deed.SIGN_OUT, now, None, detail)
    return ended


async def _end(
    connection: AsyncConnection,
    now: datetime,
    *,
    session_id: int | None = None,
    name: str | None = None,
) -> list[Ended]:
    bound = {"now": now, "id": session_id, "name": name}
    rows = await connection.execute(END_SOME, bound)
    return [Ended(row.name, bytes(row.sha256)) for row in rows]
