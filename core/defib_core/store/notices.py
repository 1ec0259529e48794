"""What people may want to know, noted once, and the deliveries of it.

Changes of state note themselves, by a trigger in their own transaction. Holds and brakes that last
are noted here: as often as this is called, each once. More than ONE_BY_ONE alike, of one statement,
are noted as a group for each node, or as one where those are as many; see the function `note_vms`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.notices import NoticeKind, Severity
from defib_core.domain.reasons import HoldReason

KEPT = timedelta(days=30)
CLAIMED_FOR = timedelta(minutes=2)
"""Longer than any attempt takes; then another may try."""
TURN_LOCK = 0x6465666E  # "defn"
MOST = 5_000
ONE_BY_ONE = 25
"""So many alike have a notice each; and so many groups are made of more."""
NAMED = 5
"""Of a group's VMs."""

ALIVE = (HoldReason.GUEST_AGENT_ALIVE, HoldReason.IO_ACTIVE)
UNTOLD = (
    HoldReason.GLOBAL_STOP,
    HoldReason.AUTO_RESET_DISABLED,
    HoldReason.REMEDIATION_DISABLED,
    HoldReason.PAUSED,
    HoldReason.MAINTENANCE,
    HoldReason.OBSERVING,
    HoldReason.ATTEMPTS_EXHAUSTED,
    HoldReason.PATH_FAILURE,
    HoldReason.FLEET_BRAKE,
    HoldReason.NODE_BRAKE,
    *ALIVE,
)
"""Holds that are somebody's will, or told otherwise: by the brake, or as a sign of life."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened. `vm_id` None: it is about `scope`, a group of VMs.

    `vm_ids` are the VMs it happened to, one by one; there are none where a brake says it of all.
    """

    id: int
    kind: NoticeKind
    vm_id: int | None
    vmid: int | None
    hostname: str | None
    cluster: str | None
    node: str | None
    scope: str | None
    detail: str
    at: datetime
    created_at: datetime
    vm_ids: Sequence[int] = ()
    names: Sequence[str] = ()
    """Of some of a group's VMs, to begin with."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A message to be sent, not before `next_at`."""

    destination: str
    group_key: str
    severity: Severity
    notices: Sequence[Mapping[str, Any]]
    next_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way."""

    id: int
    destination: str
    group_key: str
    severity: Severity
    notices: Sequence[Mapping[str, Any]]
    created_at: datetime
    next_at: datetime
    attempts: int
    delivered_at: datetime | None
    dead_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """How many wait, how old the oldest that is due is in seconds, and how many are dead."""

    waiting: int
    overdue: float
    dead: int


# What was noted of a hold, by itself or in a group, is not noted again.
NOTE_HOLDS = """
WITH due AS (
    SELECT h.id, h.vm_id, h.reason || ': ' || h.message AS detail, h.started_at FROM hold h
    WHERE h.ended_at IS NULL AND {which}
      AND NOT EXISTS (SELECT FROM notice n WHERE n.key = '{prefix}' || h.id)
),
new AS (
    SELECT due.* FROM due WHERE NOT EXISTS (
        SELECT FROM (SELECT unnest(n.stands_for) AS id FROM notice n
                     WHERE n.kind = '{kind}' AND n.stands_for IS NOT NULL) AS told
        WHERE told.id = due.id)
)
SELECT note_vms('{kind}', '{prefix}', array_agg(id ORDER BY id), array_agg(vm_id ORDER BY id),
                array_agg(detail ORDER BY id), array_agg(started_at ORDER BY id))
FROM new HAVING count(*) > 0
"""
NOTE_HELD = text(
    NOTE_HOLDS.format(
        kind=NoticeKind.VM_HELD.value,
        prefix="hold/",
        which="h.started_at < :now - :grace AND h.reason <> ALL (CAST(:untold AS text[]))",
    )
)
NOTE_ALIVE = text(
    NOTE_HOLDS.format(
        kind=NoticeKind.GUEST_ALIVE.value,
        prefix="alive/",
        which="h.started_at < :now - interval '1 hour' AND h.reason = ANY (CAST(:alive AS text[]))",
    )
)
# `key` names a group by ids; people are told names.
SCOPE = """
CASE b.kind
    WHEN 'fleet' THEN 'fleet ' || s.namespace || '/' || s.name
    WHEN 'cluster' THEN 'cluster ' || c.name
    WHEN 'domain' THEN 'fleet ' || s.namespace || '/' || s.name || ', ' || part.rest
    ELSE 'node ' || c.name || '/' || part.rest
END
"""
BRAKES = f"""
SELECT b.id, b.reason, b.message, b.started_at, b.ended_at, coalesce({SCOPE}, b.kind) AS scope
FROM brake b
CROSS JOIN LATERAL (
    SELECT split_part(b.key, '/', 1) AS id,
        substr(b.key, length(split_part(b.key, '/', 1)) + 2) AS rest
) AS part
LEFT JOIN system_config s ON b.kind IN ('fleet', 'domain') AND s.id::text = part.id
LEFT JOIN proxmox_cluster c ON b.kind IN ('cluster', 'node') AND c.id::text = part.id
"""
NOTE_BRAKES = text(f"""
INSERT INTO notice (key, kind, scope, detail, at)
SELECT 'brake/' || n.id, 'BrakeInForce', n.scope, n.reason || ': ' || n.message, n.started_at
FROM ({BRAKES} WHERE b.ended_at IS NULL) AS n
ON CONFLICT (key) DO NOTHING
""")
NOTE_LET_GO = text(f"""
INSERT INTO notice (key, kind, scope, detail, at)
SELECT 'brake-over/' || n.id, 'BrakeLetGo', n.scope, n.reason || ' is over', n.ended_at
FROM ({BRAKES} WHERE b.ended_at > :now - interval '1 day') AS n
WHERE EXISTS (SELECT FROM notice told WHERE told.key = 'brake/' || n.id)
ON CONFLICT (key) DO NOTHING
""")
# Named are VMs of which it is still true.
UNSETTLED = text("""
SELECT n.id, n.kind, n.vm_id, v.vmid, v.hostname, c.name AS cluster, v.node, n.scope, n.detail,
    n.at, n.created_at,
    coalesce(n.vm_ids, CASE WHEN n.vm_id IS NULL THEN '{}' ELSE ARRAY[n.vm_id] END) AS vm_ids,
    coalesce((
        SELECT array_agg(o.hostname) FROM (
            SELECT o.hostname FROM unnest(n.vm_ids) AS i(id)
            JOIN vm o ON o.id = i.id JOIN vm_state s ON s.vm_id = o.id
            WHERE (s.state IN ('down', 'reset_failed')) = (n.kind <> 'VmRecovered')
            ORDER BY o.id LIMIT :named) AS o), '{}') AS names
FROM notice n
LEFT JOIN vm v ON v.id = n.vm_id LEFT JOIN proxmox_cluster c ON c.id = v.cluster_id
WHERE n.settled_at IS NULL
ORDER BY n.id LIMIT :most
""")
SHRINK = text("UPDATE notice SET vm_ids = CAST(:vm_ids AS bigint[]) WHERE id = :id")
SETTLE = text("UPDATE notice SET settled_at = :now WHERE id = ANY (CAST(:ids AS bigint[]))")
LAST_TOLD = text("""
SELECT group_key, max(created_at) AS at FROM delivery
WHERE created_at > :since GROUP BY group_key
""")
ADD = text("""
INSERT INTO delivery (destination, group_key, severity, notices, created_at, next_at)
VALUES (:destination, :group_key, :severity, :notices, :now, :next_at)
""").bindparams(bindparam("notices", type_=JSONB))
# One that has not been tried takes more of its group in: after a quiet night, one message.
JOIN = text("""
UPDATE delivery SET notices = notices || CAST(:notices AS jsonb),
    severity = CASE WHEN :worse THEN :severity ELSE severity END,
    next_at = least(next_at, :next_at)
WHERE id = (
    SELECT id FROM delivery
    WHERE destination = :destination AND group_key = :group_key
      AND delivered_at IS NULL AND dead_at IS NULL AND attempts = 0
    ORDER BY id DESC LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id
""").bindparams(bindparam("notices", type_=JSONB))
CLAIM = text("""
UPDATE delivery SET attempts = attempts + 1, claimed_until = :now + :claimed_for
WHERE id IN (
    SELECT id FROM delivery
    WHERE delivered_at IS NULL AND dead_at IS NULL AND next_at <= :now
      AND (claimed_until IS NULL OR claimed_until < :now)
    ORDER BY next_at, id LIMIT :most FOR UPDATE SKIP LOCKED)
RETURNING id, destination, group_key, severity, notices, created_at, next_at, attempts,
    delivered_at, dead_at, error
""")
DELIVERED = text("""
UPDATE delivery SET delivered_at = :now, claimed_until = NULL, error = NULL
WHERE id = :id AND delivered_at IS NULL AND dead_at IS NULL
""")
AGAIN = text("""
UPDATE delivery SET next_at = :next_at, claimed_until = NULL, error = :error
WHERE id = :id AND delivered_at IS NULL AND dead_at IS NULL
""")
DEAD = text("""
UPDATE delivery SET dead_at = :now, claimed_until = NULL, error = :error
WHERE id = :id AND delivered_at IS NULL AND dead_at IS NULL
""")
REVIVE = text("""
UPDATE delivery SET dead_at = NULL, attempts = 0, next_at = defib_now()
WHERE id = :id AND dead_at IS NOT NULL RETURNING id
""")
LISTED = text("""
SELECT id, destination, group_key, severity, notices, created_at, next_at, attempts, delivered_at,
    dead_at, error
FROM delivery
WHERE (NOT :unsent OR delivered_at IS NULL) ORDER BY id DESC LIMIT :most
""")
COUNTS = text("""
SELECT count(*) FILTER (WHERE dead_at IS NULL) AS waiting,
    count(*) FILTER (WHERE dead_at > defib_now() - interval '1 day') AS dead,
    coalesce(extract(epoch FROM defib_now() - min(next_at)
        FILTER (WHERE dead_at IS NULL AND next_at < defib_now())), 0)::float8 AS overdue
FROM delivery WHERE delivered_at IS NULL
""")
PRUNE_DELIVERIES = text("DELETE FROM delivery WHERE created_at < :before")
PRUNE_NOTICES = text("DELETE FROM notice WHERE created_at < :before")
TAKE_TURN = text("SELECT pg_try_advisory_xact_lock(:lock)")


async def take_turn(connection: AsyncConnection) -> bool:
    """Say whether this worker may gather now; one at a time does, to the transaction's end."""
    return bool((await connection.execute(TAKE_TURN, {"lock": TURN_LOCK})).scalar_one())


async def note_what_lasts(connection: AsyncConnection, now: datetime, grace: timedelta) -> None:
    """Note holds and brakes that have lasted long enough, each once."""
    untold, alive = [one.value for one in UNTOLD], [one.value for one in ALIVE]
    await connection.execute(NOTE_HELD, {"now": now, "grace": grace, "untold": untold})
    await connection.execute(NOTE_ALIVE, {"now": now, "alive": alive})
    await connection.execute(NOTE_BRAKES)
    await connection.execute(NOTE_LET_GO, {"now": now})


async def unsettled(connection: AsyncConnection) -> Sequence[Notice]:
    """Read what nobody has been told yet, oldest first."""
    rows = await connection.execute(UNSETTLED, {"most": MOST, "named": NAMED})
    return [Notice(**{**row._mapping, "kind": NoticeKind(row.kind)}) for row in rows]


async def last_told(
    connection: AsyncConnection, now: datetime, span: timedelta
) -> Mapping[str, datetime]:
    """Say when each group was last told of, within a span."""
    rows = await connection.execute(LAST_TOLD, {"since": now - span})
    return {row.group_key: row.at for row in rows}


async def shrink(connection: AsyncConnection, left: Mapping[int, Sequence[int]]) -> None:
    """Leave of these groups only so many VMs: of the others there is nothing to tell any more."""
    for notice_id, vm_ids in left.items():
        await connection.execute(SHRINK, {"id": notice_id, "vm_ids": list(vm_ids)})


async def settle(connection: AsyncConnection, ids: Collection[int], now: datetime) -> None:
    """Note that these are told, or never will be."""
    if ids:
        await connection.execute(SETTLE, {"ids": sorted(ids), "now": now})


async def add(connection: AsyncConnection, new: NewDelivery, now: datetime) -> None:
    """Queue a message, or put it into one of its group that nobody has tried to send yet."""
    bound = {
        "destination": new.destination,
        "group_key": new.group_key,
        "severity": new.severity.value,
        "notices": list(new.notices),
        "next_at": new.next_at,
    }
    worse = {"worse": new.severity is Severity.CRITICAL}
    joined = await connection.execute(JOIN, {**bound, **worse})
    if joined.scalar_one_or_none() is None:
        await connection.execute(ADD, {**bound, "now": now})


async def claim(connection: AsyncConnection, now: datetime, most: int) -> Sequence[Delivery]:
    """Take messages that are due; nobody else takes them for a while."""
    bound = {"now": now, "claimed_for": CLAIMED_FOR, "most": most}
    return [_delivery(row._mapping) for row in await connection.execute(CLAIM, bound)]


async def delivered(connection: AsyncConnection, delivery_id: int, now: datetime) -> None:
    """Note that it arrived."""
    await connection.execute(DELIVERED, {"id": delivery_id, "now": now})


async def try_again(
    connection: AsyncConnection, delivery_id: int, next_at: datetime, error: str
) -> None:
    """Note that it did not arrive, and when it is tried again."""
    await connection.execute(AGAIN, {"id": delivery_id, "next_at": next_at, "error": error})


async def give_up(connection: AsyncConnection, delivery_id: int, now: datetime, error: str) -> None:
    """Note that it never arrives: a dead letter."""
    await connection.execute(DEAD, {"id": delivery_id, "now": now, "error": error})


async def revive(connection: AsyncConnection, delivery_id: int) -> bool:
    """Send a dead letter again; False where it is none."""
    return (await connection.execute(REVIVE, {"id": delivery_id})).scalar_one_or_none() is not None


async def listed(
    connection: AsyncConnection, most: int, *, unsent: bool = True
) -> Sequence[Delivery]:
    """Read deliveries, newest first; `unsent`: only those that have not arrived."""
    rows = await connection.execute(LISTED, {"most": most, "unsent": unsent})
    return [_delivery(row._mapping) for row in rows]


async def counts(connection: AsyncConnection) -> DeliveryCounts:
    """Count what waits and what is dead since a day."""
    row = (await connection.execute(COUNTS)).one()
    return DeliveryCounts(waiting=row.waiting, overdue=row.overdue, dead=row.dead)


async def prune(connection: AsyncConnection, now: datetime) -> None:
    """Drop what is old."""
    await connection.execute(PRUNE_DELIVERIES, {"before": now - KEPT})
    await connection.execute(PRUNE_NOTICES, {"before": now - KEPT})


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(**{**row, "severity": Severity(row["severity"])})
