"""Asking for a reset, and what became of it."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from defib_api.schemas.base import ApiModel, Moment
from defib_api.schemas.identifiers import reset_id_text
from defib_core.domain.actions import Action, Phase, Source
from defib_core.store.reads import ResetView

VERDICTS = {Phase.SUCCEEDED: True, Phase.FAILED: False, Phase.CANCELLED: False}

JOINERS = "\u200c\u200d"
"""Within words of some scripts, and within emoji."""


def _plain(text: str) -> str:
    """Put it on one line; refuse what steers a terminal, or turns the text around it over."""
    line = " ".join(text.split())
    if not line or not line.translate(dict.fromkeys(map(ord, JOINERS))).isprintable():
        raise PydanticCustomError("rule", "holds characters that cannot be shown")
    return line


Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
    AfterValidator(_plain),
]


class ResetRequest(ApiModel):
    """What a person asks for."""

    reason: Reason = Field(description="Why; it is kept in the history.")
    force: bool = Field(
        default=False, description="Also where the automatic attempts are used up. Nothing else."
    )


class ResetSent(ApiModel):
    """The reset was carried out by Proxmox."""

    success: bool
    message: str
    reset_attempts: int


class ResetUnderWay(ApiModel):
    """The reset is written down, and its outcome not known yet."""

    success: None = None
    message: str
    reset_id: str
    href: str = Field(description="Where to look what became of it.")


class Reset(ApiModel):
    """One line of a VM's reset history."""

    timestamp: Moment = Field(description="When it was asked for.")
    reason: str
    success: bool | None = Field(
        description="true: Proxmox carried it out. false: it failed, or was cancelled before"
        " anything was sent. null: not finished, outcome unknown, or a dry run."
    )
    id: str
    phase: Phase
    action: Action
    attempt: int
    actor: str
    source: Source
    node: str | None
    upid: str | None = Field(description="Proxmox's task.")
    proxmox_response: dict[str, Any] | None
    error: str | None
    cancelled_by: str | None = Field(description="The reason's code, where it was cancelled.")
    sent_at: Moment | None
    finished_at: Moment | None
    recovered_at: Moment | None = Field(description="The first heartbeat that proves it helped.")

    @classmethod
    def from_view(cls, view: ResetView) -> "Reset":
        """Show a reset."""
        return cls.model_construct(
            timestamp=view.requested_at,
            reason=view.reason,
            success=VERDICTS.get(view.phase),
            id=reset_id_text(view.id),
            phase=view.phase,
            action=view.action,
            attempt=view.attempt,
            actor=view.actor,
            source=view.source,
            node=view.node,
            upid=view.upid,
            proxmox_response=None if view.proxmox_response is None else dict(view.proxmox_response),
            error=view.error,
            cancelled_by=view.cancelled_by,
            sent_at=view.sent_at,
            finished_at=view.finished_at,
            recovered_at=view.recovered_at,
        )
