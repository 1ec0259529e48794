"""Reads what the database knows of one VM and around it, for domain/explain.py to put in words.

Judges nothing and writes nothing. What only the operator can know is its last word: the open hold,
the brakes of its last sweep, and when that was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.config.system_config import parse_system_config
from defib_core.domain.brakes import Scope, ScopeKind, brakes_on
from defib_core.domain.decide import Case
from defib_core.domain.explain_words import at
from defib_core.domain.explanation import Facts, Floor, InForce, OpenHold, Traffic
from defib_core.domain.leaving import stopping_until
from defib_core.domain.limits import most_in_flight
from defib_core.domain.observation import (
    Brake,
    History,
    Identity,
    Observation,
    Surroundings,
    Treatment,
)
from defib_core.domain.policy import Policy
from defib_core.domain.reasons import HoldReason, known_hold
from defib_core.domain.states import State
from defib_core.store import controls, relays, sweep
from defib_core.store.brakes import scopes_of
from defib_core.store.controls import GlobalStop, Window
from defib_core.store.decisions import last_decisions
from defib_core.store.holds import ALERTING
from defib_core.store.relays import RelayClock
from defib_core.store.sweep import Candidate
from defib_core.store.tables import UNFINISHED_SQL

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

SUBJECT = text(f"""
SELECT v.id, v.cluster_id, v.vmid, v.hostname, v.node, v.labels, v.config_id, v.uid,
    v.tombstoned_at, v.rejected, v.rejected_message, v.managed_at, v.created_at,
    v.remediation_enabled, v.paused_reason AS spec_reason, v.paused_until AS spec_until,
    z.reason AS paused_reason, z.until AS paused_until,
    s.state, s.state_since, s.last_heartbeat, s.clock_floor, s.stale_timeout, s.reports, s.status,
    s.relay_id, s.max_attempts, s.reset_attempts, s.last_attempt_at, s.reset_pending, s.clone_since,
    c.spec AS config, c.namespace || '/' || c.name AS config_name, c.changed_at AS config_changed,
    h.reason AS hold_reason, h.message AS hold_message, h.started_at AS hold_since,
    h.released_at AS hold_released, o.swept_at,
    {ALERTING} AS agent_suspected
FROM vm v
JOIN vm_state s ON s.vm_id = v.id
JOIN vm_paused z ON z.vm_id = v.id
JOIN system_config c ON c.id = v.config_id
JOIN operator_health o ON true
LEFT JOIN hold h ON h.vm_id = v.id AND h.ended_at IS NULL
WHERE v.id = :vm_id
""")
WHY_FLOORED = text("""
SELECT why FROM (
    SELECT ended_at AS at, 'its pause ended' AS why FROM pause WHERE vm_id = :vm_id
    UNION ALL
    SELECT a.at, CASE a.action WHEN 'Clear' THEN 'it was cleared by hand'
                               ELSE 'its pause was ended' END
    FROM audit a WHERE a.vm_id = :vm_id AND a.action IN ('Clear', 'Unpause')
    UNION ALL
    SELECT v.paused_until, 'the pause of its spec ended' FROM vm v WHERE v.id = :vm_id
    UNION ALL
    SELECT m.closed_at, 'its maintenance window ' || m.name || ' ended'
    FROM maintenance m JOIN vm v ON v.labels @> m.selector WHERE v.id = :vm_id
    UNION ALL
    SELECT h.released_at, 'what held it was over (' || h.reason || ')'
    FROM hold h WHERE h.vm_id = :vm_id
    UNION ALL
    SELECT c.changed_at, 'its stale timeout changed'
    FROM system_config c JOIN vm v ON v.config_id = c.id WHERE v.id = :vm_id
    UNION ALL
    SELECT v.managed_at, 'it came under management' FROM vm v WHERE v.id = :vm_id
) known WHERE at = :floor LIMIT 1
""")
BRAKES = text("""
SELECT kind, key, reason, message, started_at, ended_at, held FROM brake
WHERE ended_at IS NULL OR (held AND ended_at > :since)
""")
UNFINISHED = text(f"""
SELECT id, phase, action, attempt, actor, reason, requested_at FROM reset_history
WHERE vm_id = :vm_id AND {UNFINISHED_SQL}
""")
PHASES = {
    "requested": "the operator is about to judge it again and send it",
    "sending": "it is being sent",
    "sent": "it was sent, and Proxmox works on it",
}
STARTED_AGAIN = (
    "its clock was started again: it can report again after a lock, a stop or its node's absence,"
    " or its stale timeout was changed"
)


@dataclass(frozen=True, slots=True)
class _Around:
    """What is true around one VM."""

    policy: Policy
    proved_at: datetime | None
    blind_ended: datetime | None
    relay: RelayClock | None
    stop_ended: datetime | None
    stops: Sequence[GlobalStop]
    windows: Sequence[Window]
    brakes: Sequence[Brake]
    braked: Sequence[InForce]

    def blind_since(self, now: datetime) -> datetime | None:
        proved, blind_after = self.proved_at, self.policy.safety.blind_after
        if proved is not None and now - proved <= blind_after:
            return None
        return proved or LONG_AGO


async def facts_of(connection: AsyncConnection, vm_id: int, now: datetime) -> Facts | None:
    """Read everything about a VM; None where there is none."""
    one = (await connection.execute(SUBJECT, {"vm_id": vm_id})).one_or_none()
    if one is None:
        return None
    around = await _around(connection, one, now)
    judged = await sweep.judged(connection, vm_id, now)
    floors = await _floors(connection, one, around, now)
    return Facts(
        now=now,
        name=one.hostname,
        case=_case(one, judged, around, floors, now),
        state_since=one.state_since,
        floors=floors,
        not_managed=_not_managed(one, around.policy),
        hold=_hold(one),
        under_way=await _under_way(connection, vm_id),
        reset_pending=one.reset_pending,
        traffic=await _traffic(connection, one, around.policy, now),
        in_force=await _in_force(connection, one, around, now),
        swept_at=one.swept_at,
        agent_suspected=bool(one.agent_suspected),
        decisions=await last_decisions(connection, vm_id),
        clone_since=one.clone_since,
    )


async def _around(connection: AsyncConnection, one: Row[Any], now: datetime) -> _Around:
    policy = parse_system_config(one.config).to_policy()
    brakes, braked = await _brakes(connection, one, policy, now)
    heard = await relays.clocks(connection, policy.safety.blind_after, now)
    return _Around(
        policy=policy,
        proved_at=await sweep.last_proof(connection),
        blind_ended=await sweep.last_blindness(connection, policy.safety.blind_after),
        relay=next((relay for relay in heard if relay.relay_id == one.relay_id), None),
        stop_ended=await controls.last_stop_ended(connection),
        stops=await controls.global_stops(connection),
        windows=await controls.windows(connection),
        brakes=brakes,
        braked=braked,
    )


async def _brakes(
    connection: AsyncConnection, one: Row[Any], policy: Policy, now: datetime
) -> tuple[list[Brake], list[InForce]]:
    """Find the brakes on its groups, as the last sweep left them, and those that cool down."""
    label = policy.safety.failure_domain_label
    domain = None if label is None else one.labels.get(label)
    scopes = scopes_of(one.config_id, one.cluster_id, one.node, domain)
    cooldown = policy.safety.storm_cooldown
    open_ones: list[Row[Any]] = []
    cooling: dict[tuple[int, Scope], datetime] = {}
    for row in await connection.execute(BRAKES, {"since": now - cooldown}):
        scope = Scope(ScopeKind(row.kind), row.key)
        if scope in scopes and row.ended_at is None:
            if known_hold(row.reason) is not None:
                open_ones.append(row)
        elif scope in scopes:
            cooling[one.config_id, scope] = row.ended_at + cooldown
    order = list(HoldReason)
    open_ones.sort(key=lambda row: order.index(HoldReason(row.reason)))
    found = [Brake(HoldReason(row.reason), row.message) for row in open_ones]
    shown = [InForce(row.reason, row.message, row.started_at) for row in open_ones]
    for brake in brakes_on(one.config_id, scopes, {}, cooling):
        found.append(brake)
        shown.append(InForce(brake.reason.value, brake.message))
    return found, shown


async def _floors(
    connection: AsyncConnection, one: Row[Any], around: _Around, now: datetime
) -> list[Floor]:
    bound = {"vm_id": one.id, "floor": one.clock_floor}
    why = (await connection.execute(WHY_FLOORED, bound)).scalar_one_or_none()
    leaves = stopping_until(one.status, one.last_heartbeat)
    known = (
        (one.clock_floor, why or STARTED_AGAIN),
        (one.managed_at, "it came under management"),
        (around.blind_ended, "reports could be stored again, or the database's clock had jumped"),
        (
            None if around.relay is None else around.relay.floor,
            "its relay was heard again, or was given up",
        ),
        (around.stop_ended, "a global stop ended"),
        (
            leaves if leaves is not None and leaves <= now else None,
            "the time for its announced shutdown was over",
        ),
    )
    unlike = {moment: reason for moment, reason in reversed(known) if moment is not None}
    return [Floor(moment, reason) for moment, reason in unlike.items()]


def _case(
    one: Row[Any],
    judged: Candidate | None,
    around: _Around,
    floors: Sequence[Floor],
    now: datetime,
) -> Case:
    return Case(
        observation=Observation(
            vm_id=one.id,
            identity=Identity(vmid=one.vmid, hostname=one.hostname),
            state=State(one.state),
            last_heartbeat=one.last_heartbeat,
            clock_floor=max(floor.at for floor in floors),
            stale_timeout=one.stale_timeout,
            reports=one.reports,
        ),
        treatment=Treatment(
            policy=around.policy,
            max_attempts=one.max_attempts,
            enabled=one.remediation_enabled,
            paused_reason=one.paused_reason,
            paused_until=one.paused_until,
        ),
        history=History(
            attempts=one.reset_attempts,
            last_attempt_at=one.last_attempt_at,
            owes_start=judged is not None and judged.owes_start,
            dry_run_done=judged is not None and judged.dry_run_done,
        ),
        around=Surroundings(
            ingest_blind_since=around.blind_since(now),
            relay_blind=None if around.relay is None else around.relay.blindness,
            control_plane_heard_at=now,
            global_stop=_stopped(around),
            maintenance=_maintenance(one, around, now),
            reports_rejected=None if judged is None else judged.rejected_reason,
            brakes=around.brakes,
        ),
    )


def _stopped(around: _Around) -> str | None:
    stop = next(iter(around.stops), None)
    return None if stop is None else f"{stop.reason} ({stop.started_by})"


def _maintenance(one: Row[Any], around: _Around, now: datetime) -> str | None:
    for window in around.windows:
        if window.holds(one.labels, one.config_id, now):
            return f"{window.reason} (window {window.name}, until {at(window.ends_at)})"
    leaves = stopping_until(one.status, one.last_heartbeat)
    if leaves is not None and now < leaves:
        return f"it said that it is shutting down; until {at(leaves)}"
    return None


def _not_managed(one: Row[Any], policy: Policy) -> str | None:
    if one.tombstoned_at is not None:
        return (
            f"its VirtualMachine was deleted at {at(one.tombstoned_at)}: its reports are stored,"
            " and it is not reset until one is applied again"
        )
    if one.uid is None and not policy.auto_register:
        return (
            f"no VirtualMachine stands for it, and autoRegister is false in {one.config_name}:"
            " it is watched, and never reset"
        )
    if one.uid is None:
        return "no VirtualMachine stands for it yet; the operator makes one within seconds"
    if one.rejected is not None:
        return f"its VirtualMachine is not in force ({one.rejected}): {one.rejected_message}"
    return None


def _hold(one: Row[Any]) -> OpenHold | None:
    if one.hold_reason is None or one.hold_released is not None:
        return None
    reason = known_hold(one.hold_reason)
    return None if reason is None else OpenHold(reason, one.hold_message, one.hold_since)


async def _under_way(connection: AsyncConnection, vm_id: int) -> str | None:
    row = (await connection.execute(UNFINISHED, {"vm_id": vm_id})).one_or_none()
    if row is None:
        return None
    asked = f"{row.action}, attempt {row.attempt}, asked at {at(row.requested_at)} by {row.actor}"
    return f"reset_{row.id} is under way ({asked}: {row.reason}): {PHASES[row.phase]}"


async def _traffic(
    connection: AsyncConnection, one: Row[Any], policy: Policy, now: datetime
) -> Traffic:
    seen, fleet = await sweep.traffic(connection, now), one.config_id
    return Traffic(
        in_flight=seen.in_flight.get(fleet, 0),
        in_flight_most=most_in_flight(policy, seen.fleet_sizes.get(fleet, 0)),
        on_node=seen.in_flight_on_node.get((one.cluster_id, one.node), 0),
        on_node_most=policy.safety.max_concurrent_per_node,
        last_hour=seen.sent_last_hour.get(fleet, 0),
        last_hour_most=policy.safety.max_resets_per_hour,
    )


async def _in_force(
    connection: AsyncConnection, one: Row[Any], around: _Around, now: datetime
) -> list[InForce]:
    found = [
        InForce(
            "GlobalStop",
            f"{stop.reason} ({stop.system_config or stop.started_by})",
            stop.started_at,
        )
        for stop in around.stops
    ]
    by_hand = await controls.pause_of(connection, one.id)
    if by_hand is not None and (by_hand.until is None or by_hand.until > now):
        message = f"by {by_hand.started_by}: {by_hand.reason}"
        found.append(InForce("Paused", message, by_hand.started_at, by_hand.until))
    if one.spec_reason is not None and (one.spec_until is None or one.spec_until > now):
        found.append(InForce("Paused", f"in its spec: {one.spec_reason}", None, one.spec_until))
    found += [
        InForce("Maintenance", f"{window.name}: {window.reason}", window.starts_at, window.ends_at)
        for window in around.windows
        if window.ends_at > now and window.selects(one.labels, one.config_id)
    ]
    leaves = stopping_until(one.status, one.last_heartbeat)
    if leaves is not None and now < leaves:
        message = "it said that it is shutting down"
        found.append(InForce("Maintenance", message, one.last_heartbeat, leaves))
    if around.policy.dry_run:
        found.append(InForce("DryRun", f"resets are only recorded ({one.config_name})"))
    return [*found, *around.braked]
