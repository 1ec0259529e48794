"""Writes the messages of /api/events, each once for all listeners."""

from collections.abc import Sequence
from typing import Any

import msgspec

from defib_api.schemas.base import written
from defib_api.schemas.identifiers import vm_id_text
from defib_api.schemas.vms import Counts
from defib_core.domain.states import health_of
from defib_core.store.changes import Changed

BEAT = b": still here\n\n"


def snapshot(number: int, counts: Counts) -> bytes:
    """Say where the listener begins."""
    return _message("snapshot", number, {"version": number, "vms": counts.model_dump()})


def change(number: int, changed: Sequence[Changed], counts: Counts) -> bytes:
    """Say what has changed."""
    data = {"changes": [_shown(one) for one in changed], "vms": counts.model_dump()}
    return _message("change", number, data)


def resync(number: int, why: str) -> bytes:
    """Say that the listener has to load everything anew."""
    return _message("resync", number, {"version": number, "reason": why})


def _message(event: str, number: int, data: dict[str, Any]) -> bytes:
    return b"event: %b\nid: %d\ndata: %b\n\n" % (event.encode(), number, msgspec.json.encode(data))


def _shown(one: Changed) -> dict[str, Any]:
    if one.state is None:
        return {"id": vm_id_text(one.vm_id), "removed": True}
    return {
        "id": vm_id_text(one.vm_id),
        "hostname": one.hostname,
        "node": one.node,
        "state": one.state,
        "health": health_of(one.state),
        "resetPending": one.reset_pending,
        "at": None if one.at is None else written(one.at),
        "reason": one.reason,
    }
