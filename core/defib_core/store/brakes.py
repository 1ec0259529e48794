"""The facts of the brakes: who belongs to which group, who of them is silent, what held when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.brakes import Scope, ScopeKind, Silent, Verdict
from defib_core.domain.states import State


@dataclass(frozen=True, slots=True)
class FleetRule:
    """How the members of one fleet are counted."""

    fleet: int
    arm_after: int
    suspect_after: timedelta
    floor: datetime
    domain_label: str | None


@dataclass(frozen=True, slots=True)
class Suspect:
    """A member that has been silent for some time and is not down yet."""

    vm_id: int
    fleet: int
    cluster_id: int
    vmid: int
    scopes: tuple[Scope, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """The groups, the silent of them, and those of the silent that are not down yet."""

    members: Mapping[Scope, int]
    silent: Sequence[Silent]
    suspects: Sequence[Suspect]


@dataclass(frozen=True, slots=True)
class OpenBrake:
    """A brake that was in force at the last sweep."""

    id: int
    scope: Scope
    held: bool


MEMBERS = """
WITH rule AS (
    SELECT * FROM unnest(
        CAST(:fleets AS int[]), CAST(:arm_afters AS bigint[]), CAST(:suspect_afters AS interval[]),
        CAST(:floors AS timestamptz[]), CAST(:labels AS text[])
    ) AS r(fleet, arm_after, suspect_after, floor, label)
),
member AS (
    SELECT s.vm_id, s.config_id AS fleet, v.cluster_id, v.vmid, v.node, s.state, s.last_heartbeat,
        v.labels ->> r.label AS domain,
        s.state = 'down' OR :now - greatest(s.last_heartbeat, s.clock_floor, v.managed_at, r.floor)
            > r.suspect_after AS is_silent
    FROM vm_state s
    JOIN vm v ON v.id = s.vm_id
    JOIN vm_paused z ON z.vm_id = s.vm_id
    JOIN rule r ON r.fleet = s.config_id
    WHERE s.state IN ('healthy', 'warning', 'down') AND s.reports >= r.arm_after
      AND v.uid IS NOT NULL AND v.tombstoned_at IS NULL AND v.rejected IS NULL
      AND v.remediation_enabled
      AND (z.reason IS NULL OR z.until <= :now)
      AND (v.proxmox_state IS NULL OR v.proxmox_state = 'running')
      AND NOT EXISTS (
          SELECT FROM hold h WHERE h.vm_id = s.vm_id AND h.ended_at IS NULL
          AND h.reason IN ('VMStopped', 'VMNotFound', 'Template', 'IdentityMismatch'))
)
"""
COUNT = text(f"""{MEMBERS}
SELECT fleet, cluster_id, domain, node, count(*) AS vms,
    grouping(fleet, cluster_id, domain, node) AS which
FROM member
GROUP BY GROUPING SETS ((fleet), (cluster_id), (fleet, domain), (cluster_id, node))
""")
SILENT = text(f"{MEMBERS} SELECT * FROM member WHERE is_silent ORDER BY vm_id")
SMALLEST = text("SELECT config_id, min(stale_timeout) AS least FROM vm_state GROUP BY 1")

OPEN = text("SELECT id, kind, key, held FROM brake WHERE ended_at IS NULL")
ENDED = text("""
SELECT kind, key, max(ended_at) AS ended_at FROM brake
WHERE held AND ended_at > :since GROUP BY kind, key
""")
BEGIN = text("""
INSERT INTO brake (kind, key, reason, message, started_at, held)
VALUES (:kind, :key, :reason, :message, :now, :held)
ON CONFLICT DO NOTHING
""")
END = text("UPDATE brake SET ended_at = greatest(:now, started_at) WHERE id = :brake_id")
HELD = text("""
UPDATE brake SET held = true WHERE kind = :kind AND key = :key AND ended_at IS NULL AND NOT held
""")


async def smallest_timeouts(connection: AsyncConnection) -> Mapping[int, timedelta]:
    """Read the smallest stale timeout in force in each fleet."""
    return {row.config_id: row.least for row in await connection.execute(SMALLEST)}


async def count(connection: AsyncConnection, rules: Sequence[FleetRule], now: datetime) -> Counted:
    """Count the members of every group, and find the silent ones."""
    bound = {
        "now": now,
        "fleets": [rule.fleet for rule in rules],
        "arm_afters": [rule.arm_after for rule in rules],
        "suspect_afters": [rule.suspect_after for rule in rules],
        "floors": [rule.floor for rule in rules],
        "labels": [rule.domain_label for rule in rules],
    }
    silent = (await connection.execute(SILENT, bound)).all()
    if not silent:
        return Counted({}, (), ())
    members = {}
    for row in await connection.execute(COUNT, bound):
        scope = _counted_scope(row)
        if scope is not None:
            members[scope] = row.vms
    return Counted(
        members,
        [Silent(row.vm_id, row.fleet, _scopes(row), row.last_heartbeat) for row in silent],
        [
            Suspect(row.vm_id, row.fleet, row.cluster_id, row.vmid, _scopes(row))
            for row in silent
            if State(row.state).is_alive
        ],
    )


def scopes_of(
    fleet: int, cluster_id: int, node: str | None, domain: str | None
) -> tuple[Scope, ...]:
    """Say which groups a VM belongs to."""
    found = [
        Scope(ScopeKind.FLEET, str(fleet)),
        Scope(ScopeKind.CLUSTER, str(cluster_id)),
    ]
    if domain is not None:
        found.append(Scope(ScopeKind.DOMAIN, f"{fleet}/{domain}"))
    if node is not None:
        found.append(Scope(ScopeKind.NODE, f"{cluster_id}/{node}"))
    return tuple(found)


def _scopes(row: Row[Any]) -> tuple[Scope, ...]:
    return scopes_of(row.fleet, row.cluster_id, row.node, row.domain)


def _counted_scope(row: Row[Any]) -> Scope | None:
    # `which` has a bit for each column that the row is not grouped by, the first the highest.
    match row.which:
        case 0b0111:
            return Scope(ScopeKind.FLEET, str(row.fleet))
        case 0b1011:
            return Scope(ScopeKind.CLUSTER, str(row.cluster_id))
        case 0b0101 if row.domain is not None:
            return Scope(ScopeKind.DOMAIN, f"{row.fleet}/{row.domain}")
        case 0b1010 if row.node is not None:
            return Scope(ScopeKind.NODE, f"{row.cluster_id}/{row.node}")
        case _:
            return None


async def open_brakes(connection: AsyncConnection) -> Sequence[OpenBrake]:
    """Read the brakes that were in force at the last sweep."""
    rows = await connection.execute(OPEN)
    return [OpenBrake(row.id, Scope(ScopeKind(row.kind), row.key), row.held) for row in rows]


async def ended_since(connection: AsyncConnection, since: datetime) -> Mapping[Scope, datetime]:
    """Read when brakes that held something let go, where that was not before `since`."""
    rows = await connection.execute(ENDED, {"since": since})
    return {Scope(ScopeKind(row.kind), row.key): row.ended_at for row in rows}


async def begin(
    connection: AsyncConnection, verdict: Verdict, *, held: bool, now: datetime
) -> None:
    """Note that a brake is in force."""
    await connection.execute(
        BEGIN,
        {
            "kind": verdict.scope.kind.value,
            "key": verdict.scope.key,
            "reason": verdict.reason.value,
            "message": verdict.message,
            "held": held,
            "now": now,
        },
    )


async def end(connection: AsyncConnection, brake_id: int, now: datetime) -> None:
    """Note that a brake has let go."""
    await connection.execute(END, {"brake_id": brake_id, "now": now})


async def mark_held(connection: AsyncConnection, scope: Scope) -> None:
    """Note that a brake held a VM that would have been looked at: its end begins a cooldown."""
    await connection.execute(HELD, {"kind": scope.kind.value, "key": scope.key})
