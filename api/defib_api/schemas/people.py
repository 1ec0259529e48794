"""Who is signed in, and the tokens of people and programs."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field

from defib_api.schemas.base import ApiModel, Moment
from defib_api.schemas.enrolment import Word
from defib_api.schemas.identifiers import (
    api_token_id_text,
    personal_token_id_text,
    session_id_text,
)
from defib_core.domain.roles import Role
from defib_core.store.personal_tokens import ListedPersonalToken
from defib_core.store.sessions import ListedSession
from defib_core.store.tokens import Via

YEAR_DAYS = 366


class Me(ApiModel):
    """Who asks, and what he may do."""

    name: str
    role: Role
    via: Via
    csrf_token: str | None = Field(
        description="With a session: send it as X-CSRF-Token with each change. Else null."
    )
    expires_at: Moment | None


class PersonalTokenWish(ApiModel):
    """A token that is to be made. A misspelt field is refused."""

    model_config = ConfigDict(extra="forbid")

    name: Word = Field(description="Whose it is; written into histories.")
    role: Role
    days: Annotated[int, Field(ge=1, le=YEAR_DAYS)] = Field(
        default=90, description="How long it is good for; a year at most."
    )


class PersonalTokenMade(ApiModel):
    """A new token, shown this once."""

    success: Literal[True] = True
    message: str
    id: str
    token: str
    expires_at: Moment


class PersonalToken(ApiModel):
    """A token in force; the token itself is shown once, when it is made."""

    id: str
    name: str
    role: Role
    created_by: str
    created_at: Moment
    expires_at: Moment

    @classmethod
    def from_listed(cls, one: ListedPersonalToken) -> Self:
        """Show one."""
        return cls(
            id=personal_token_id_text(one.id),
            name=one.name,
            role=one.role,
            created_by=one.created_by,
            created_at=one.created_at,
            expires_at=one.expires_at,
        )


class Session(ApiModel):
    """A browser that is signed in."""

    id: str
    name: str
    role: Role
    via: Via = Field(description="How the person signed in: session means with a token.")
    token: str | None = Field(description="The token it was begun with, and ends with.")
    current: bool = Field(description="It is the session of whoever asks.")
    created_at: Moment
    expires_at: Moment

    @classmethod
    def from_listed(cls, one: ListedSession) -> Self:
        """Show one."""
        token = None
        if one.personal_token_id is not None:
            token = personal_token_id_text(one.personal_token_id)
        elif one.api_token_id is not None:
            token = api_token_id_text(one.api_token_id)
        return cls(
            id=session_id_text(one.id),
            name=one.name,
            role=one.role,
            via=one.via,
            token=token,
            current=one.is_current,
            created_at=one.created_at,
            expires_at=one.expires_at,
        )
