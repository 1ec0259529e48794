"""Reset intents, asked for by a person or decided by the sweep: written down, and nothing more.

No intent, no POST; one unfinished intent a VM. This module decides nothing, see
`defib_core.domain.decide`, and sends nothing, see `execution.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.actions import Action, Phase, Source
from defib_core.store.tables import UNFINISHED_SQL

AUTO_REASON = "Auto-reset: stale VM"
AUTO_ACTOR = "defib-operator"


@dataclass(frozen=True, slots=True)
class Requested:
    """The intent was written; the operator will take it up."""

    intent_id: int


@dataclass(frozen=True, slots=True)
class AlreadyUnfinished:
    """Another intent of this VM is not finished; nothing was written."""

    intent_id: int


@dataclass(frozen=True, slots=True)
class AlreadyAsked:
    """The same request, by its key, was written before; nothing was written."""

    intent_id: int


@dataclass(frozen=True, slots=True)
class ManualRequest:
    """A reset that a person asks for. `request_key` makes asking twice the same as asking once."""

    vm_id: int
    source: Source
    actor: str
    reason: str
    forced: bool = False
    request_key: str | None = None


REQUEST = text("""
INSERT INTO reset_history (vm_id, action, source, actor, reason, forced, request_key, attempt,
                           requested_at, boot_id_before)
SELECT s.vm_id, 'Reset', :source, :actor, :reason, :forced, :request_key, s.reset_attempts + 1,
       :now, s.boot_id
FROM vm_state s WHERE s.vm_id = :vm_id
ON CONFLICT DO NOTHING
RETURNING id
""")
SAME_KEY = text("""
SELECT id FROM reset_history WHERE vm_id = :vm_id AND request_key = CAST(:request_key AS text)
""")
IS_KNOWN = text("SELECT EXISTS (SELECT FROM vm_state WHERE vm_id = :vm_id)")
UNFINISHED_OF = text(f"""
SELECT id FROM reset_history
WHERE vm_id = :vm_id AND {UNFINISHED_SQL}
""")
BY_PHASE = text(f"""
SELECT phase, count(*) AS intents FROM reset_history WHERE {UNFINISHED_SQL} GROUP BY phase
""")

CREATE_AUTO = text("""
INSERT INTO reset_history (vm_id, phase, action, source, actor, reason, attempt, epoch, decision,
                           requested_at, finished_at, boot_id_before)
SELECT s.vm_id, :phase, :action, 'auto', :actor, :reason, s.reset_attempts + 1, :epoch, :decision,
       :now, CASE WHEN :phase = 'dry_run' THEN CAST(:now AS timestamptz) END, s.boot_id
FROM vm_state s
WHERE s.vm_id = :vm_id AND (s.state = 'down' OR s.state = 'reset_failed' AND :owes_start)
ON CONFLICT DO NOTHING
RETURNING id
""").bindparams(bindparam("decision", type_=JSONB))


async def request_manual(
    connection: AsyncConnection, request: ManualRequest, now: datetime
) -> Requested | AlreadyUnfinished | AlreadyAsked | None:
    """Write a person's request down; None where there is no such VM."""
    bound = {
        "vm_id": request.vm_id,
        "source": request.source.value,
        "actor": request.actor,
        "reason": request.reason,
        "forced": request.forced,
        "request_key": request.request_key,
        "now": now,
    }
    while await _is_known(connection, request.vm_id):
        created = (await connection.execute(REQUEST, bound)).scalar_one_or_none()
        if created is not None:
            return Requested(int(created))
        found = await _why_not(connection, request)
        if found is not None:
            return found
        # What was in the way has ended between the two statements.
    return None


async def _is_known(connection: AsyncConnection, vm_id: int) -> bool:
    return bool((await connection.execute(IS_KNOWN, {"vm_id": vm_id})).scalar_one())


async def _why_not(
    connection: AsyncConnection, request: ManualRequest
) -> AlreadyUnfinished | AlreadyAsked | None:
    same = {"vm_id": request.vm_id, "request_key": request.request_key}
    asked = (await connection.execute(SAME_KEY, same)).scalar_one_or_none()
    if asked is not None:
        return AlreadyAsked(int(asked))
    unfinished = await connection.execute(UNFINISHED_OF, {"vm_id": request.vm_id})
    found = unfinished.scalar_one_or_none()
    return None if found is None else AlreadyUnfinished(int(found))


@dataclass(frozen=True, slots=True)
class AutoIntent:
    """What the sweep decided for one VM; `decision` is kept for the person who asks why."""

    vm_id: int
    action: Action
    dry_run: bool
    decision: Mapping[str, Any]
    owes_start: bool = False
    """Our own stop switched it off: it is started even where its attempts are used up."""


async def create_auto(
    connection: AsyncConnection, intent: AutoIntent, *, epoch: int, now: datetime
) -> int | None:
    """Write the sweep's intent; None where the VM has an unfinished one or is no longer down."""
    phase = Phase.DRY_RUN if intent.dry_run else Phase.REQUESTED
    created = await connection.execute(
        CREATE_AUTO,
        {
            "vm_id": intent.vm_id,
            "phase": phase.value,
            "action": intent.action.value,
            "actor": AUTO_ACTOR,
            "reason": AUTO_REASON,
            "epoch": epoch,
            "decision": intent.decision,
            "owes_start": intent.owes_start,
            "now": now,
        },
    )
    found = created.scalar_one_or_none()
    return None if found is None else int(found)


async def unfinished_by_phase(connection: AsyncConnection) -> Mapping[str, int]:
    """Count the unfinished intents of each phase that has any."""
    return {row.phase: row.intents for row in await connection.execute(BY_PHASE)}
