"""Messages to people that have not arrived."""

from pydantic import Field

from defib_api.schemas.base import ApiModel, Moment
from defib_core.domain.notices import Severity
from defib_core.store.notices import Delivery, DeliveryCounts


class Undelivered(ApiModel):
    """A message that waits, or is given up."""

    id: int = Field(description="What `defib notify retry` takes.")
    destination: str
    severity: Severity
    group: str = Field(description="What its notices have in common: a node, or a brake's scope.")
    notices: int
    created_at: Moment
    attempts: int
    next_at: Moment | None = Field(description="When it is tried again. null: never.")
    dead_at: Moment | None = Field(description="When it was given up. null: it waits.")
    error: str | None = Field(description="Why the last attempt failed.")

    @classmethod
    def from_delivery(cls, one: Delivery) -> "Undelivered":
        """Show a message."""
        return cls(
            id=one.id,
            destination=one.destination,
            severity=one.severity,
            group=one.group_key,
            notices=len(one.notices),
            created_at=one.created_at,
            attempts=one.attempts,
            next_at=None if one.dead_at is not None else one.next_at,
            dead_at=one.dead_at,
            error=one.error,
        )


class Notifications(ApiModel):
    """What has not arrived."""

    waiting: int
    dead: int = Field(description="Given up within the last 24 hours.")
    undelivered: list[Undelivered] = Field(description="Newest first, at most 200.")

    @classmethod
    def from_found(cls, counts: DeliveryCounts, found: list[Undelivered]) -> "Notifications":
        """Show what was found."""
        return cls(waiting=counts.waiting, dead=counts.dead, undelivered=found)
