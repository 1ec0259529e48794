"""Carries reset intents out: claimed under the leader's epoch, sent, finished, or cancelled.

Each POST of an intent is a row of `reset_step`, inserted before the POST under the epoch of the
lease; the row's key makes a second POST of the same step impossible. A VM's state is locked before
its intent, as the heartbeat's statement does, so that the two never deadlock. This module asks for
no reset, see `intents.py`, and decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.actions import Action, Phase, PowerStep, Source
from defib_core.store import lease
from defib_core.store.tables import UNFINISHED_SQL


@dataclass(frozen=True, slots=True)
class Step:
    """One POST of an intent, as far as it is known."""

    seq: int
    step: PowerStep
    phase: Phase
    node: str
    upid: str | None
    sending_at: datetime
    result: str | None


@dataclass(frozen=True, slots=True)
class Intent:
    """An unfinished intent with its POSTs so far."""

    id: int
    vm_id: int
    phase: Phase
    action: Action
    source: Source
    forced: bool
    reason: str
    attempt: int
    epoch: int | None
    requested_at: datetime
    steps: tuple[Step, ...]


CLAIM = text("""
WITH due AS (
    SELECT r.id FROM vm_state s JOIN reset_history r ON r.vm_id = s.vm_id
    WHERE r.id = :intent_id
      AND (:seq > 1 AND r.phase = 'sent'
           OR :seq = 1 AND r.phase = 'requested'
              AND NOT EXISTS (SELECT FROM global_stop g WHERE g.ended_at IS NULL)
              AND EXISTS (SELECT FROM vm v WHERE v.id = s.vm_id
                          AND v.uid IS NOT NULL AND v.tombstoned_at IS NULL)
              AND (r.source <> 'auto'
                   OR s.state IN ('down', 'reset_failed')
                      AND (s.last_heartbeat IS NULL OR s.last_heartbeat <= r.requested_at)
                      AND NOT EXISTS (SELECT FROM vm_paused z WHERE z.vm_id = s.vm_id
                                      AND z.reason IS NOT NULL
                                      AND (z.until IS NULL OR z.until > :now))))
    FOR UPDATE OF s, r
),
claimed AS (
    INSERT INTO reset_step (intent_id, seq, step, phase, epoch, node, sending_at)
    SELECT due.id, :seq, :step, 'sending', :epoch, :node, :now FROM due
    ON CONFLICT (intent_id, seq) DO NOTHING
    RETURNING intent_id
),
intent AS (
    UPDATE reset_history r SET phase = 'sending', epoch = :epoch, action = :action, node = :node,
        sent_at = coalesce(r.sent_at, :now)
    FROM claimed WHERE r.id = claimed.intent_id
    RETURNING r.vm_id
),
attempt AS (
    UPDATE vm_state s SET reset_attempts = s.reset_attempts + 1, last_attempt_at = :now,
        reset_pending = true
    FROM intent WHERE s.vm_id = intent.vm_id AND :seq = 1
)
SELECT vm_id FROM intent
""")

STEP_SENT = text("""
UPDATE reset_step SET phase = 'sent', upid = :upid
WHERE intent_id = :intent_id AND seq = :seq AND phase = 'sending'
""")
INTENT_SENT = text("""
UPDATE reset_history SET phase = 'sent', upid = coalesce(:upid, upid),
    proxmox_response = coalesce(:response, proxmox_response)
WHERE id = :intent_id AND phase = 'sending'
""").bindparams(bindparam("response", type_=JSONB(none_as_null=True)))
STEP_FINISHED = text("""
UPDATE reset_step SET phase = :phase, result = :result, finished_at = :now
WHERE intent_id = :intent_id AND seq = :seq AND phase IN ('sending', 'sent')
""")
FINISH = text(f"""
WITH due AS (
    SELECT r.id FROM vm_state s JOIN reset_history r ON r.vm_id = s.vm_id
    WHERE r.id = :intent_id AND r.{UNFINISHED_SQL}
    FOR UPDATE
),
done AS (
    UPDATE reset_history r SET phase = :phase, finished_at = :now, error = :error,
        proxmox_response = coalesce(:response, r.proxmox_response),
        sent_at = CASE WHEN :unsent AND r.recovered_at IS NULL THEN NULL ELSE r.sent_at END
    FROM due WHERE r.id = due.id
    RETURNING r.vm_id
)
UPDATE vm_state s SET reset_pending = false,
    reset_attempts = greatest(0, s.reset_attempts - CASE WHEN :unsent THEN 1 ELSE 0 END)
FROM done
WHERE s.vm_id = done.vm_id AND :phase = 'failed'
""").bindparams(bindparam("response", type_=JSONB(none_as_null=True)))
DRY_RUN = text("""
UPDATE reset_history SET phase = 'dry_run', finished_at = :now
WHERE id = :intent_id AND phase = 'requested'
""")
CANCEL = text("""
UPDATE reset_history SET phase = 'cancelled', cancelled_by = :reason, error = :message,
    finished_at = :now
WHERE id = :intent_id AND phase = 'requested'
""")
UNFINISHED = text(f"""
SELECT r.id, r.vm_id, r.phase, r.action, r.source, r.forced, r.reason, r.attempt, r.epoch,
    r.requested_at,
    coalesce((SELECT jsonb_agg(to_jsonb(s) ORDER BY s.seq) FROM reset_step s
              WHERE s.intent_id = r.id), '[]'::jsonb) AS steps
FROM reset_history r
WHERE r.{UNFINISHED_SQL}
ORDER BY r.id
""")
PLACE = text("SELECT cluster_id, vmid FROM vm WHERE id = :vm_id")
KNOWN_UPIDS = text("""
SELECT p.upid FROM reset_step p JOIN reset_history r ON r.id = p.intent_id
WHERE r.vm_id = :vm_id AND p.upid IS NOT NULL
""")


@dataclass(frozen=True, slots=True)
class Place:
    """Which VM of which cluster an intent is about."""

    cluster_id: int
    vmid: int


async def place_of(connection: AsyncConnection, vm_id: int) -> Place:
    """Read which VM of which cluster this is."""
    row = (await connection.execute(PLACE, {"vm_id": vm_id})).one()
    return Place(row.cluster_id, row.vmid)


async def known_upids(connection: AsyncConnection, vm_id: int) -> frozenset[str]:
    """Read the tasks that are known to belong to a POST of this VM."""
    rows = await connection.execute(KNOWN_UPIDS, {"vm_id": vm_id})
    return frozenset(row.upid for row in rows)


async def unfinished(connection: AsyncConnection) -> Sequence[Intent]:
    """Read every unfinished intent with its POSTs, oldest first."""
    return [
        Intent(
            id=row.id,
            vm_id=row.vm_id,
            phase=Phase(row.phase),
            action=Action(row.action),
            source=Source(row.source),
            forced=row.forced,
            reason=row.reason,
            attempt=row.attempt,
            epoch=row.epoch,
            requested_at=row.requested_at,
            steps=tuple(_step(step) for step in row.steps),
        )
        for row in await connection.execute(UNFINISHED)
    ]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send one POST: taken by compare-and-set before it is sent."""

    intent_id: int
    seq: int
    step: PowerStep
    action: Action
    node: str


async def claim(connection: AsyncConnection, wanted: Claim, *, epoch: int, now: datetime) -> bool:
    """Take the right to send a POST.

    False where it was taken before, the epoch has passed, or a VM that was to be reset by itself
    has been heard since its intent.
    """
    if not await lease.is_in_force(connection, epoch, now):
        return False
    taken = await connection.execute(
        CLAIM,
        {
            "intent_id": wanted.intent_id,
            "seq": wanted.seq,
            "step": wanted.step.value,
            "action": wanted.action.value,
            "node": wanted.node,
            "epoch": epoch,
            "now": now,
        },
    )
    return taken.scalar_one_or_none() is not None


async def record_sent(
    connection: AsyncConnection,
    intent_id: int,
    seq: int,
    upid: str | None,
    response: Mapping[str, Any] | None,
) -> None:
    """Keep Proxmox's answer to a POST: the task it began."""
    await connection.execute(STEP_SENT, {"intent_id": intent_id, "seq": seq, "upid": upid})
    await connection.execute(
        INTENT_SENT, {"intent_id": intent_id, "upid": upid, "response": response}
    )


async def finish_step(
    connection: AsyncConnection,
    intent_id: int,
    seq: int,
    *,
    phase: Phase,
    result: str,
    now: datetime,
) -> None:
    """Keep how one POST ended."""
    await connection.execute(
        STEP_FINISHED,
        {
            "intent_id": intent_id,
            "seq": seq,
            "phase": phase.value,
            "result": result,
            "now": now,
        },
    )


async def finish(
    connection: AsyncConnection,
    intent_id: int,
    *,
    phase: Phase,
    error: str | None,
    response: Mapping[str, Any] | None,
    now: datetime,
    unsent: bool = False,
) -> None:
    """End an intent: succeeded, failed or unknown.

    `unsent`: no connection came about, so that there was no attempt. The wait after one stays.
    """
    await connection.execute(
        FINISH,
        {
            "intent_id": intent_id,
            "phase": phase.value,
            "error": error,
            "response": response,
            "now": now,
            "unsent": unsent,
        },
    )


async def record_dry_run(connection: AsyncConnection, intent_id: int, now: datetime) -> None:
    """End an intent that would have been sent: its SystemConfig says dryRun."""
    await connection.execute(DRY_RUN, {"intent_id": intent_id, "now": now})


async def cancel(
    connection: AsyncConnection, intent_id: int, *, reason: str, message: str, now: datetime
) -> None:
    """End an intent that was not sent, with the reason why."""
    await connection.execute(
        CANCEL, {"intent_id": intent_id, "reason": reason, "message": message, "now": now}
    )


def _step(raw: Mapping[str, Any]) -> Step:
    return Step(
        seq=raw["seq"],
        step=PowerStep(raw["step"]),
        phase=Phase(raw["phase"]),
        node=raw["node"],
        upid=raw["upid"],
        sending_at=datetime.fromisoformat(raw["sending_at"]),
        result=raw["result"],
    )
