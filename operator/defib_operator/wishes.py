"""What people ask for by annotating a VirtualMachine: a reset, or that its counter is set back.

Each value acts once, and not when it is older than five minutes, so an annotation that is kept in
Git does no harm. The annotations themselves are never written or removed.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from defib_core.config.resources import (
    CLEAR_REASON_ANNOTATION,
    CLEAR_REQUESTED_ANNOTATION,
    RESET_FORCE_ANNOTATION,
    RESET_REASON_ANNOTATION,
    RESET_REQUESTED_ANNOTATION,
)
from defib_core.store import controls
from defib_core.store.audit import BY_ANNOTATION
from defib_core.store.clock import database_now
from defib_core.store.intents import ManualRequest

log = structlog.get_logger(__name__)

EXPIRES = timedelta(minutes=5)
NO_REASON = "asked for by annotation"
REASON_MAX = 500
YES = "true"

Annotations = Mapping[str, str]


def asked_in(annotations: Annotations) -> tuple[str | None, ...]:
    """What asks for something anew when it changes."""
    return (
        annotations.get(RESET_REQUESTED_ANNOTATION),
        annotations.get(CLEAR_REQUESTED_ANNOTATION),
    )


async def take_wishes(engine: AsyncEngine, vm_id: int, annotations: Annotations) -> None:
    """Carry out what the annotations of a VM ask for: the clear first, then the reset."""
    if not any(asked_in(annotations)):
        return
    async with engine.begin() as connection:
        now = await database_now(connection)
        cleared = annotations.get(CLEAR_REQUESTED_ANNOTATION)
        if cleared is not None and _is_recent(vm_id, cleared, now):
            await _clear(connection, vm_id, annotations, now)
        asked = annotations.get(RESET_REQUESTED_ANNOTATION)
        if asked is not None and _is_recent(vm_id, asked, now):
            await _reset(connection, vm_id, annotations, now)


async def _clear(
    connection: AsyncConnection, vm_id: int, annotations: Annotations, now: datetime
) -> None:
    asked = annotations[CLEAR_REQUESTED_ANNOTATION]
    done = await controls.clear(
        connection,
        BY_ANNOTATION,
        vm_id,
        now,
        reason=_reason(annotations, CLEAR_REASON_ANNOTATION),
        request_key=_key(asked),
    )
    log.info("clear_annotation_taken", vm=vm_id, value=asked, cleared=done)


async def _reset(
    connection: AsyncConnection, vm_id: int, annotations: Annotations, now: datetime
) -> None:
    asked = annotations[RESET_REQUESTED_ANNOTATION]
    request = ManualRequest(
        vm_id=vm_id,
        source=BY_ANNOTATION.source,
        actor=BY_ANNOTATION.actor,
        reason=_reason(annotations, RESET_REASON_ANNOTATION),
        forced=annotations.get(RESET_FORCE_ANNOTATION) == YES,
        request_key=_key(asked),
    )
    result = await controls.request_reset(connection, request, now)
    log.info("annotation_taken", vm=vm_id, value=asked, result=repr(result))


def _is_recent(vm_id: int, asked: str, now: datetime) -> bool:
    moment = moment_in(asked)
    if moment is not None and abs(now - moment) <= EXPIRES:
        return True
    log.info("annotation_ignored", vm=vm_id, value=asked, why="not a recent RFC 3339 time")
    return False


def moment_in(text: str) -> datetime | None:
    """Read an RFC 3339 time; None where it is none, or has no time zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _reason(annotations: Annotations, name: str) -> str:
    """Read it as one printable line, as the API has people write it."""
    said = "".join(one if one.isprintable() else " " for one in annotations.get(name, ""))
    return " ".join(said.split())[:REASON_MAX] or NO_REASON


def _key(asked: str) -> str:
    return f"annotation:{asked}"
