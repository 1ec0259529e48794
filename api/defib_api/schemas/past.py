"""What a VM went through."""

from pydantic import Field

from defib_api.schemas.base import ApiModel, Moment
from defib_core.domain.states import State
from defib_core.store.vm_past import HoldView, TransitionView


class Transition(ApiModel):
    """A change of state."""

    at: Moment
    before: State = Field(alias="from")
    after: State = Field(alias="to")
    reason: str = Field(description="FirstHeartbeat, HeartbeatMissing, ...: see the glossary.")

    @classmethod
    def from_view(cls, view: TransitionView) -> "Transition":
        """Show a change."""
        return cls(at=view.at, before=view.before, after=view.after, reason=view.reason)


class Hold(ApiModel):
    """An interval in which the VM was down and not reset."""

    reason: str
    message: str
    started_at: Moment
    ended_at: Moment | None = Field(description="null: it holds now.")

    @classmethod
    def from_view(cls, view: HoldView) -> "Hold":
        """Show a hold."""
        return cls(
            reason=view.reason,
            message=view.message,
            started_at=view.started_at,
            ended_at=view.ended_at,
        )
