"""The facts of the brakes: who belongs to which group, who of them is silent, what held when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.brakes import Scope, ScopeKind, Silent, Verdict
from defib_core.domain.states import State
from defib_core.store import relays
from defib_core.store.clock import has_come
from defib_core.store.relays import RelayClock
from defib_core.store.tables import MEMBER_SQL, PAUSE_REASON, PAUSE_UNTIL


@dataclass(frozen=True, slots=True)
class FleetRule:
    """How the members of one fleet are counted."""

    fleet: int
    arm_after: int
    suspect_after: timedelta
    floor: datetime
    domain_label: str | None
    relays: Sequence[RelayClock] = ()


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

    unwell: Sequence[int]
    """Whom a sweep has to look at; see unwell.py."""
    members: Mapping[Scope, int]
    """Empty where no count of members could put a brake in force."""
    silent: Sequence[Silent]
    suspects: Sequence[Suspect]


@dataclass(frozen=True, slots=True)
class OpenBrake:
    """A brake that was in force at the last sweep."""

    id: int
    scope: Scope
    held: bool


RULES = f"""
{relays.RELAY_CLOCK},
rule AS (
    SELECT * FROM unnest(
        CAST(:fleets AS int[]), CAST(:arm_afters AS bigint[]), CAST(:suspect_afters AS interval[]),
        CAST(:floors AS timestamptz[]), CAST(:labels AS text[])
    ) AS r(fleet, arm_after, suspect_after, floor, label)
)
"""
NOT_COUNTED_HOLDS = "('VMStopped', 'VMNotFound', 'Template', 'IdentityMismatch')"

SILENT = text(f"""
WITH {RULES}
SELECT s.vm_id, s.config_id AS fleet, v.cluster_id, v.vmid, v.node, s.state, s.last_heartbeat,
    v.labels ->> r.label AS domain
FROM unnest(CAST(:unwell AS bigint[])) AS u(vm_id)
JOIN vm_state s ON s.vm_id = u.vm_id
JOIN vm v ON v.id = s.vm_id
LEFT JOIN pause p ON p.vm_id = s.vm_id AND p.ended_at IS NULL
JOIN rule r ON r.fleet = s.config_id
WHERE s.state IN ('healthy', 'warning', 'down') AND s.reports >= r.arm_after
  AND (s.state = 'down'
       OR :now - greatest(s.last_heartbeat, s.clock_floor, r.floor,
            CASE WHEN {has_come("v.managed_at")} THEN v.managed_at END)
          > r.suspect_after AND NOT {relays.unheard("r.suspect_after")})
  AND {MEMBER_SQL}
  AND ({PAUSE_REASON} IS NULL OR {PAUSE_UNTIL} <= :now)
  AND NOT EXISTS (SELECT FROM hold h WHERE h.vm_id = s.vm_id AND h.ended_at IS NULL
                  AND h.reason IN {NOT_COUNTED_HOLDS})
ORDER BY s.vm_id
""")

# Members are those that `vm` says are, less those that something else says are not: the first are
# counted in an index, and the others are few. Joining all VMs with all states takes far longer.
COUNT = """
WITH {rules},
unarmed AS (
    SELECT s.vm_id FROM vm_state s
    WHERE s.state IN ('unknown', 'reset_failed') OR s.reports < :most_arm_after
),
apart AS (
    SELECT u.vm_id FROM unarmed u JOIN vm_state s ON s.vm_id = u.vm_id
    JOIN rule r ON r.fleet = s.config_id
    WHERE s.state IN ('unknown', 'reset_failed') OR s.reports < r.arm_after
    UNION
    SELECT z.vm_id
    FROM (SELECT id FROM vm WHERE paused_reason IS NOT NULL
          UNION SELECT vm_id FROM pause WHERE ended_at IS NULL) AS p(id)
    JOIN vm_paused z ON z.vm_id = p.id
    WHERE z.reason IS NOT NULL AND (z.until IS NULL OR z.until > :now)
    UNION
    SELECT h.vm_id FROM hold h WHERE h.ended_at IS NULL AND h.reason IN {holds}
),
counted AS (
    SELECT v.config_id AS fleet, v.cluster_id, v.node, {domain} AS domain, count(*) AS vms
    FROM vm v {join} WHERE {member} GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT v.config_id, v.cluster_id, v.node, {domain}, -count(*)
    FROM apart a JOIN vm v ON v.id = a.vm_id {join} WHERE {member} GROUP BY 1, 2, 3, 4
)
SELECT fleet, cluster_id, domain, node, sum(vms) AS vms,
    grouping(fleet, cluster_id, domain, node) AS which
FROM counted
WHERE fleet IN (SELECT fleet FROM rule)
GROUP BY GROUPING SETS ((fleet), (cluster_id), (fleet, domain), (cluster_id, node))
HAVING sum(vms) > 0
"""
_COUNT = {"rules": RULES, "member": MEMBER_SQL, "holds": NOT_COUNTED_HOLDS}
COUNT_PLAIN = text(COUNT.format(**_COUNT, domain="CAST(NULL AS text)", join=""))
COUNT_LABELLED = text(
    COUNT.format(
        **_COUNT, domain="v.labels ->> r.label", join="JOIN rule r ON r.fleet = v.config_id"
    )
)
OPEN = text("SELECT id, kind, key, held FROM brake WHERE ended_at IS NULL")
ENDED = text(f"""
SELECT kind, key, max(ended_at) AS ended_at FROM brake
WHERE held AND ended_at > :since AND {has_come("ended_at", "defib_now()")} GROUP BY kind, key
""")
BEGIN = text("""
INSERT INTO brake (kind, key, reason, message, started_at, held)
VALUES (:kind, :key, :reason, :message, :now, :held)
ON CONFLICT DO NOTHING
""")
# Where the clock was set back meanwhile its end is kept, as the cooldown begins there.
END = text("""
UPDATE brake SET started_at = least(started_at, :now), ended_at = :now WHERE id = :brake_id
""")
HELD = text("""
UPDATE brake SET held = true WHERE kind = :kind AND key = :key AND ended_at IS NULL AND NOT held
""")


async def silent_members(
    connection: AsyncConnection, rules: Sequence[FleetRule], unwell: Sequence[int], now: datetime
) -> tuple[Sequence[Silent], Sequence[Suspect]]:
    """Find, among VMs that may be unwell, the silent members, and those not down yet."""
    if not unwell:
        return (), ()
    rows = await connection.execute(SILENT, {**_bind(rules, now), "unwell": list(unwell)})
    silent: list[Silent] = []
    suspects: list[Suspect] = []
    for row in rows:
        groups = scopes_of(row.fleet, row.cluster_id, row.node, row.domain)
        silent.append(Silent(row.vm_id, row.fleet, groups, row.last_heartbeat))
        if row.state != State.DOWN:
            suspects.append(Suspect(row.vm_id, row.fleet, row.cluster_id, row.vmid, groups))
    return silent, suspects


async def members(
    connection: AsyncConnection, rules: Sequence[FleetRule], now: datetime
) -> Mapping[Scope, int]:
    """Count the members of every group."""
    bound = {
        **_bind(rules, now),
        "most_arm_after": max((one.arm_after for one in rules), default=0),
    }
    labelled = any(one.domain_label is not None for one in rules)
    counted = await connection.execute(COUNT_LABELLED if labelled else COUNT_PLAIN, bound)
    scopes = ((_counted_scope(row), int(row.vms)) for row in counted)
    return {scope: vms for scope, vms in scopes if scope is not None}


def _bind(rules: Sequence[FleetRule], now: datetime) -> dict[str, object]:
    return {
        "now": now,
        "fleets": [rule.fleet for rule in rules],
        "arm_afters": [rule.arm_after for rule in rules],
        "suspect_afters": [rule.suspect_after for rule in rules],
        "floors": [rule.floor for rule in rules],
        "labels": [rule.domain_label for rule in rules],
        **relays.bind({rule.fleet: rule.relays for rule in rules}),
    }


@lru_cache(maxsize=16_384)
def scopes_of(
    fleet: int, cluster_id: int, node: str | None, domain: str | None
) -> tuple[Scope, ...]:
    """Say which groups a VM belongs to; made once for all VMs that share them."""
    found = [
        Scope(ScopeKind.FLEET, str(fleet)),
        Scope(ScopeKind.CLUSTER, str(cluster_id)),
    ]
    if domain is not None:
        found.append(Scope(ScopeKind.DOMAIN, f"{fleet}/{domain}"))
    if node is not None:
        found.append(Scope(ScopeKind.NODE, f"{cluster_id}/{node}"))
    return tuple(found)


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
