"""What the ways to set something share: why it ends, when it ends, and what its spec alone ends."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Query

from defib_api import control_examples as examples
from defib_api.documented import Responses, documented
from defib_api.errors import refused_field
from defib_api.schemas.base import written
from defib_api.schemas.controls import ControlConflict

AFTER = "its clock starts anew: it may be reset after one more full stale timeout of silence"

Why = Annotated[
    str | None,
    Query(alias="reason", min_length=1, max_length=500, description="Why; kept in the audit log."),
]


def documented_end(success: object, *statuses: int) -> Responses:
    """Build `responses` of a route that ends something, which a spec may ask for as well."""
    responses = documented(success, *statuses)
    responses[409] = {
        "description": "It was set in a spec, and only the spec ends it.",
        "model": ControlConflict,
        "content": {"application/json": {"example": examples.IN_SPEC}},
    }
    return responses


def end_of(until: datetime | None, minutes: int | None, start: datetime) -> datetime | None:
    """When something ends that begins at `start`; refuse an end that is not after it."""
    end = until if minutes is None else start + timedelta(minutes=minutes)
    if end is not None and end <= start:
        raise refused_field("until", f"must be later than {written(start)}")
    return end
