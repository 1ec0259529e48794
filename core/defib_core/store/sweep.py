"""The sweep's statements: set-based changes of state, and the facts of the VMs to be judged.

Each takes `now`, the database's clock as the sweep read it once. Rows are locked in the order of
their ids, as the heartbeat's statement does, and all that are due before the first is changed, so
that the two never deadlock.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Result, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.actions import Action
from defib_core.domain.states import State
from defib_core.store import controls, holds, relays, unable
from defib_core.store.clock import has_come
from defib_core.store.relays import RelayClock
from defib_core.store.tables import MANAGED_SQL, PAUSE_REASON, PAUSE_UNTIL, UNFINISHED_SQL
from defib_core.store.unable import WAS_UNABLE
from defib_core.store.unwell import Patience, smallest_timeouts
from defib_core.store.unwell import unwell as find_unwell


@dataclass(frozen=True, slots=True)
class FleetClock:
    """What the sweep needs of one fleet (the VMs of one SystemConfig)."""

    config_id: int
    floor: datetime
    """The end of its last blindness."""
    blind: bool
    boot_grace: timedelta
    clear_after: timedelta
    relays: Sequence[RelayClock] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A state that the sweep changed."""

    vm_id: int
    from_state: State
    to_state: State


@dataclass(frozen=True, slots=True)
class Candidate:
    """A managed VM that is down or reset_failed, with everything the decision asks of the store."""

    vm_id: int
    config_id: int
    cluster_id: int
    vmid: int
    hostname: str
    node: str | None
    labels: Mapping[str, str]
    proxmox_name: str | None
    pinned_uuid: str | None
    smbios_uuid: str | None
    state: State
    last_heartbeat: datetime | None
    clock_floor: datetime
    stale_timeout: timedelta
    reports: int
    max_attempts: int
    remediation_enabled: bool
    steps: tuple[Action, ...]
    paused_reason: str | None
    paused_until: datetime | None
    status: str | None
    """The agent's own word: running, or stopping on an orderly shutdown."""
    reset_attempts: int
    last_attempt_at: datetime | None
    unfinished: bool
    dry_run_done: bool
    resumed_io_error: bool
    owes_start: bool
    relay_id: int | None
    """The relay its last report came through."""
    proxmox_busy: bool
    """Proxmox's list last said that it could not report: locked, off, or its node away."""
    was_unable: bool
    """A look found that it could not report, and none has found that it can since."""
    rejected_reason: str | None
    """Why its last report was refused, where that was within its stale timeout."""
    hold_released: bool
    """What the open hold was for is over; the VM has had its clock started again."""
    hold_id: int | None
    hold_reason: str | None
    hold_message: str | None


@dataclass(frozen=True, slots=True)
class Config:
    """A mirrored SystemConfig: its last good spec."""

    id: int
    namespace: str
    name: str
    spec: Mapping[str, Any]


FLEETS = f"""
{relays.RELAY_CLOCK},
fleet AS (
    SELECT * FROM unnest(
        CAST(:config_ids AS int[]), CAST(:floors AS timestamptz[]), CAST(:blind AS bool[]),
        CAST(:boot_graces AS interval[]), CAST(:clear_afters AS interval[])
    ) AS f(config_id, floor, blind, boot_grace, clear_after)
)
"""

UNPAUSED = "v.paused_until <= :now AND s.clock_floor < v.paused_until"
STALE = f"""
NOT f.blind AND s.state IN ('healthy', 'warning')
AND :now - greatest(s.last_heartbeat, s.clock_floor, f.floor) > s.stale_timeout
AND NOT {relays.unheard("s.stale_timeout")}
"""
SPENT = f"""
NOT f.blind AND s.state = 'down' AND s.max_attempts > 0 AND s.reset_attempts >= s.max_attempts
AND :now - greatest(s.last_attempt_at, f.floor) >= f.boot_grace
AND NOT {relays.unheard("f.boot_grace")}
"""
WELL = f"""
NOT f.blind AND s.state IN ('healthy', 'warning') AND s.reset_attempts > 0
AND :now - greatest(s.alive_since, s.last_attempt_at, f.floor) >= f.clear_after
AND NOT {relays.unheard("f.clear_after")}
"""

AMONG = "s.vm_id = ANY (CAST(:unwell AS bigint[]))"

LOCK_DUE = text(f"""
WITH {FLEETS}
SELECT s.vm_id FROM vm_state s
LEFT JOIN fleet f ON f.config_id = s.config_id
WHERE s.vm_id = ANY (CAST(:looked_at AS bigint[]))
  AND (({STALE}) OR ({SPENT}) OR ({WELL}) OR s.vm_id = ANY (CAST(:ending AS bigint[])))
ORDER BY s.vm_id
FOR UPDATE OF s
""")

SPEC_PAUSE_OVER = text(f"""
SELECT s.vm_id FROM vm v JOIN vm_state s ON s.vm_id = v.id WHERE {UNPAUSED}
""")
END_PAUSES = text(f"""
WITH ended AS (
    UPDATE vm_state s SET clock_floor = v.paused_until
    FROM vm v
    WHERE v.id = s.vm_id AND {UNPAUSED}
    RETURNING s.vm_id
)
INSERT INTO status_outbox (vm_id) SELECT vm_id FROM ended
""")

GO_DOWN = text(f"""
WITH {FLEETS},
stale AS (
    SELECT s.vm_id, s.state FROM vm_state s JOIN fleet f ON f.config_id = s.config_id
    WHERE {AMONG} AND {STALE}
    ORDER BY s.vm_id
    FOR UPDATE OF s
),
changed AS (
    UPDATE vm_state s SET state = 'down', state_since = :now, alive_since = NULL
    FROM stale
    WHERE s.vm_id = stale.vm_id AND s.state = stale.state
    RETURNING s.vm_id, stale.state AS from_state, s.state AS to_state
)
INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)
SELECT vm_id, :now, from_state, to_state, 'HeartbeatMissing' FROM changed
RETURNING vm_id, from_state, to_state
""")

GIVE_UP = text(f"""
WITH {FLEETS},
spent AS (
    SELECT s.vm_id FROM vm_state s JOIN fleet f ON f.config_id = s.config_id
    WHERE {AMONG} AND {SPENT}
      AND NOT EXISTS (SELECT FROM reset_history r WHERE r.vm_id = s.vm_id AND r.{UNFINISHED_SQL})
    ORDER BY s.vm_id
    FOR UPDATE OF s
),
changed AS (
    UPDATE vm_state s SET state = 'reset_failed', state_since = :now
    FROM spent
    WHERE s.vm_id = spent.vm_id AND s.state = 'down'
    RETURNING s.vm_id
)
INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)
SELECT vm_id, :now, 'down', 'reset_failed', 'AttemptsExhausted' FROM changed
RETURNING vm_id, from_state, to_state
""")

FORGIVE = text(f"""
WITH {FLEETS},
well AS (
    SELECT s.vm_id FROM vm_state s JOIN fleet f ON f.config_id = s.config_id
    WHERE {AMONG} AND {WELL}
    ORDER BY s.vm_id
    FOR UPDATE OF s
),
changed AS (
    UPDATE vm_state s SET reset_attempts = 0, last_attempt_at = NULL
    FROM well WHERE s.vm_id = well.vm_id
    RETURNING s.vm_id
)
INSERT INTO status_outbox (vm_id) SELECT vm_id FROM changed
""")

CANDIDATES = f"""
SELECT s.vm_id, s.config_id, v.cluster_id, v.vmid, v.hostname, v.node, v.labels,
    v.proxmox_name,
    CAST(v.pinned_uuid AS text) AS pinned_uuid, CAST(v.smbios_uuid AS text) AS smbios_uuid,
    s.state, s.last_heartbeat,
    greatest(s.clock_floor, CASE WHEN {has_come("v.managed_at")} THEN v.managed_at END)
        AS clock_floor, s.stale_timeout, s.reports,
    s.max_attempts, v.remediation_enabled, v.steps,
    {PAUSE_REASON} AS paused_reason, {PAUSE_UNTIL} AS paused_until, s.status,
    s.reset_attempts, s.last_attempt_at,
    EXISTS (SELECT FROM reset_history r WHERE r.vm_id = s.vm_id AND r.{UNFINISHED_SQL})
        AS unfinished,
    EXISTS (SELECT FROM reset_history r WHERE r.vm_id = s.vm_id AND r.phase = 'dry_run'
            AND r.requested_at > s.last_heartbeat) AS dry_run_done,
    EXISTS (SELECT FROM reset_history r WHERE r.vm_id = s.vm_id AND r.action = 'Resume'
            AND r.phase <> 'failed' AND r.sent_at > s.last_heartbeat) AS resumed_io_error,
    coalesce((SELECT r.action = 'StopStart' AND r.recovered_at IS NULL
              FROM reset_history r WHERE r.vm_id = s.vm_id AND r.sent_at IS NOT NULL
              ORDER BY r.id DESC LIMIT 1), false)
        AND EXISTS (SELECT FROM reset_step p JOIN reset_history r ON r.id = p.intent_id
                    WHERE r.vm_id = s.vm_id AND p.step = 'stop'
                      AND p.phase IN ('succeeded', 'unknown')
                      AND p.sending_at > s.last_heartbeat
                      AND p.sending_at > :now - interval '1 day')
        AND NOT EXISTS (SELECT FROM reset_step p JOIN reset_history r ON r.id = p.intent_id
                        WHERE r.vm_id = s.vm_id AND p.step = 'start' AND p.phase = 'succeeded'
                          AND p.sending_at > s.last_heartbeat) AS owes_start,
    s.relay_id, v.proxmox_busy, {WAS_UNABLE} AS was_unable,
    (SELECT j.reason FROM report_rejection j WHERE j.vm_id = s.vm_id
     AND j.at > :now - s.stale_timeout AND j.at > s.last_heartbeat AND {has_come("j.at")})
        AS rejected_reason,
    h.released_at IS NOT NULL AS hold_released,
    h.id AS hold_id, h.reason AS hold_reason, h.message AS hold_message
FROM vm_state s
JOIN vm v ON v.id = s.vm_id
LEFT JOIN pause p ON p.vm_id = s.vm_id AND p.ended_at IS NULL
LEFT JOIN hold h ON h.vm_id = s.vm_id AND h.ended_at IS NULL
WHERE {{which}} AND v.uid IS NOT NULL AND v.tombstoned_at IS NULL AND v.rejected IS NULL
ORDER BY s.vm_id
"""
DOWN = "s.state IN ('down', 'reset_failed')"
NAMED = "s.vm_id = ANY (CAST(:vm_ids AS bigint[]))"
ALL_CANDIDATES = text(CANDIDATES.format(which=DOWN))
NAMED_CANDIDATES = text(CANDIDATES.format(which=f"{NAMED} AND {DOWN}"))
JUDGED = text(CANDIDATES.format(which=NAMED))

CONFIGS = text("SELECT id, namespace, name, spec FROM system_config ORDER BY id")

# A proof from the future was made before the clock jumped back: it proves nothing now.
LIVENESS = text(f"""
SELECT max(proved_at) FROM ingest_liveness WHERE {has_come("proved_at", "defib_now()")}
""")

# What ended in the future ended before the clock was set back, which is a gap of its own.
LAST_GAP = text(f"""
SELECT max(ended_at) FROM ingest_gap
WHERE (cause = 'clock_jump' OR ended_at - started_at > :blind_after)
  AND {has_come("ended_at", "defib_now()")}
""")

# A reset from the future was sent before the clock jumped back; its VM's `last_attempt_at` was
# brought to the jump then (see liveness.py), so that its place is free in time.
IN_FLIGHT = text("""
SELECT v.config_id, v.cluster_id, coalesce(r.node, v.node) AS node, count(*) AS resets
FROM reset_history r
JOIN vm v ON v.id = r.vm_id
JOIN vm_state s ON s.vm_id = r.vm_id
JOIN system_config c ON c.id = v.config_id
WHERE r.phase IN ('sending', 'sent')
   -- A person's request that waits for a place takes none.
   OR (r.phase = 'requested' AND r.source = 'auto')
   OR (r.phase IN ('succeeded', 'unknown') AND r.recovered_at IS NULL
       -- A person's request may have waited for long, and its VM reported meanwhile.
       AND (s.last_heartbeat IS NULL OR s.last_heartbeat < r.sent_at)
       AND least(r.sent_at, s.last_attempt_at)
           > :now - make_interval(secs => (c.spec ->> 'bootGraceSeconds')::float8)
       AND r.sent_at > :now - interval '1 day')
GROUP BY 1, 2, 3
""")

SENT_LAST_HOUR = text("""
SELECT v.config_id, count(*) AS resets
FROM reset_history r JOIN vm v ON v.id = r.vm_id JOIN vm_state s ON s.vm_id = r.vm_id
WHERE r.sent_at > :now - interval '1 hour'
      AND least(r.sent_at, s.last_attempt_at) > :now - interval '1 hour'
   OR r.phase = 'requested'
GROUP BY 1
""")

FLEET_SIZES = text(f"SELECT config_id, count(*) AS vms FROM vm WHERE {MANAGED_SQL} GROUP BY 1")

END_HOLD = text("""
UPDATE hold SET ended_at = greatest(:now, started_at) WHERE vm_id = :vm_id AND ended_at IS NULL
""")

# A heartbeat that was stored while a hold began did not see it; and who is not judged is not held.
END_POINTLESS_HOLDS = text("""
UPDATE hold h SET ended_at = greatest(:now, h.started_at)
FROM vm_state s JOIN vm v ON v.id = s.vm_id
WHERE s.vm_id = h.vm_id AND h.ended_at IS NULL
  AND (s.state NOT IN ('down', 'reset_failed')
       OR v.uid IS NULL OR v.tombstoned_at IS NOT NULL OR v.rejected IS NOT NULL)
""")

RESTART_CLOCKS = text("""
WITH released AS (
    UPDATE hold SET released_at = :now
    WHERE vm_id = ANY (CAST(:vm_ids AS bigint[])) AND ended_at IS NULL
)
UPDATE vm_state SET clock_floor = :now WHERE vm_id = ANY (CAST(:vm_ids AS bigint[]))
""")
NOT_BUSY = text(
    "UPDATE vm SET proxmox_busy = false WHERE id = ANY (CAST(:vm_ids AS bigint[])) AND proxmox_busy"
)
SWEPT = text(
    "UPDATE operator_health SET swept_at = :now, sweep_seconds = :seconds,"
    " kubernetes_seen_at = greatest(kubernetes_seen_at, :heard)"
)


async def configs(connection: AsyncConnection) -> Sequence[Config]:
    """Read every mirrored SystemConfig."""
    return [Config(**row._mapping) for row in await connection.execute(CONFIGS)]


async def last_proof(connection: AsyncConnection) -> datetime | None:
    """When any API replica last proved that heartbeats are stored."""
    proved: datetime | None = (await connection.execute(LIVENESS)).scalar_one()
    return proved


async def last_blindness(connection: AsyncConnection, blind_after: timedelta) -> datetime | None:
    """When the last silence of ingest longer than `blind_after`, or jump of the clock, ended."""
    ended: datetime | None = (
        await connection.execute(LAST_GAP, {"blind_after": blind_after})
    ).scalar_one()
    return ended


async def change_states(
    connection: AsyncConnection,
    fleets: Sequence[FleetClock],
    now: datetime,
    unwell: Sequence[int] | None = None,
) -> Sequence[Change]:
    """Apply every change of state that is due, each with its row of `vm_transition`.

    `unwell` are the VMs it may be due for (see unwell.py); None looks for them here.
    """
    if unwell is None:
        unwell = await _unwell(connection, fleets, now)
    bound = {**_bind(fleets, now), "unwell": list(unwell)}
    over = [int(row.vm_id) for row in await connection.execute(SPEC_PAUSE_OVER, {"now": now})]
    ending = [*over, *await controls.held_by_ending(connection, now)]
    looked_at = [*unwell, *ending]
    await connection.execute(LOCK_DUE, {**bound, "ending": ending, "looked_at": looked_at})
    await connection.execute(END_PAUSES, {"now": now})
    await connection.execute(END_POINTLESS_HOLDS, {"now": now})
    await controls.end_what_is_over(connection, now)
    if not unwell:
        return []
    await connection.execute(FORGIVE, bound)
    rows = [
        *(await connection.execute(GO_DOWN, bound)).all(),
        *(await connection.execute(GIVE_UP, bound)).all(),
    ]
    return [Change(row.vm_id, State(row.from_state), State(row.to_state)) for row in rows]


async def _unwell(
    connection: AsyncConnection, fleets: Sequence[FleetClock], now: datetime
) -> Sequence[int]:
    smallest = await smallest_timeouts(connection)
    patience = (
        Patience(smallest[one.config_id], one.floor, one.blind)
        for one in fleets
        if one.config_id in smallest
    )
    return await find_unwell(connection, patience, now)


def _bind(fleets: Sequence[FleetClock], now: datetime) -> dict[str, object]:
    return {
        "now": now,
        "config_ids": [fleet.config_id for fleet in fleets],
        "floors": [fleet.floor for fleet in fleets],
        "blind": [fleet.blind for fleet in fleets],
        "boot_graces": [fleet.boot_grace for fleet in fleets],
        "clear_afters": [fleet.clear_after for fleet in fleets],
        **relays.bind({fleet.config_id: fleet.relays for fleet in fleets}),
    }


async def candidates(
    connection: AsyncConnection, now: datetime, vm_ids: Sequence[int] | None = None
) -> Sequence[Candidate]:
    """Read the VMs that are down or reset_failed, of the given ids or all."""
    if vm_ids is None:
        rows = await connection.execute(ALL_CANDIDATES, {"now": now})
    else:
        rows = await connection.execute(NAMED_CANDIDATES, {"vm_ids": list(vm_ids), "now": now})
    return _candidates(rows)


async def judged(connection: AsyncConnection, vm_id: int, now: datetime) -> Candidate | None:
    """Read one managed VM in whatever state, as a person may ask for its reset."""
    found = _candidates(await connection.execute(JUDGED, {"vm_ids": [vm_id], "now": now}))
    return found[0] if found else None


async def judged_all(
    connection: AsyncConnection, vm_ids: Sequence[int], now: datetime
) -> Mapping[int, Candidate]:
    """Read managed VMs in whatever state, by their ids; one that is not managed is left out."""
    found = await connection.execute(JUDGED, {"vm_ids": list(vm_ids), "now": now})
    return {one.vm_id: one for one in _candidates(found)}


def _candidates(found: Result[Any]) -> list[Candidate]:
    # By position, as by name takes five times as long: the columns are the fields, in order.
    if tuple(found.keys()) != _FIELDS:
        raise TypeError(f"CANDIDATES reads {tuple(found.keys())}; Candidate has {_FIELDS}")
    return [_candidate(row) for row in found]


def _candidate(row: Sequence[Any]) -> Candidate:
    values = list(row)
    for place, read in _READ:
        values[place] = read(values[place])
    return Candidate(*values)


@lru_cache(maxsize=64)
def _steps(words: tuple[str, ...]) -> tuple[Action, ...]:
    return tuple(Action(word) for word in words)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "state": State,
    "steps": lambda words: _steps(tuple(words)),
}
_FIELDS = tuple(one.name for one in fields(Candidate))
_READ = tuple((_FIELDS.index(name), read) for name, read in _READERS.items())


@dataclass(frozen=True, slots=True)
class Traffic:
    """Resets on their way and sent lately. Keys: fleet; and (cluster, node)."""

    in_flight: Mapping[int, int]
    in_flight_on_node: Mapping[tuple[int, str | None], int]
    sent_last_hour: Mapping[int, int]
    fleet_sizes: Mapping[int, int]
    """Empty where nobody asked: only who hands out places has to know."""


async def traffic(connection: AsyncConnection, now: datetime, *, sized: bool = True) -> Traffic:
    """Count the resets in flight by fleet and by node, and those of the last hour by fleet."""
    by_fleet: dict[int, int] = {}
    by_node: dict[tuple[int, str | None], int] = {}
    for row in await connection.execute(IN_FLIGHT, {"now": now}):
        by_fleet[row.config_id] = by_fleet.get(row.config_id, 0) + row.resets
        key = (row.cluster_id, row.node)
        by_node[key] = by_node.get(key, 0) + row.resets
    hour = {
        row.config_id: row.resets for row in await connection.execute(SENT_LAST_HOUR, {"now": now})
    }
    sizes = await _fleet_sizes(connection) if sized else {}
    return Traffic(by_fleet, by_node, hour, sizes)


async def _fleet_sizes(connection: AsyncConnection) -> Mapping[int, int]:
    return {row.config_id: row.vms for row in await connection.execute(FLEET_SIZES)}


async def hold(
    connection: AsyncConnection, candidate: Candidate, reason: str, message: str, now: datetime
) -> bool:
    """Note why a VM is not reset; return whether the reason is a new one."""
    opened = await holds.hold_all(connection, [holds.Held(candidate.vm_id, reason, message)], now)
    return candidate.vm_id in opened


async def end_hold(connection: AsyncConnection, vm_id: int, now: datetime) -> None:
    """A reset takes the place of a hold."""
    await connection.execute(END_HOLD, {"vm_id": vm_id, "now": now})


async def restart_clocks(connection: AsyncConnection, vm_ids: Sequence[int], now: datetime) -> None:
    """Give VMs whose states are locked a full timeout from now, as they could not report before."""
    if not vm_ids:
        return
    await unable.release(connection, vm_ids, now)
    await connection.execute(RESTART_CLOCKS, {"vm_ids": list(vm_ids), "now": now})
    await connection.execute(NOT_BUSY, {"vm_ids": list(vm_ids)})


async def swept(
    connection: AsyncConnection, now: datetime, seconds: float, heard: datetime | None = None
) -> None:
    """Note that a sweep ended, how long it took, and when Kubernetes was last heard."""
    await connection.execute(SWEPT, {"now": now, "seconds": seconds, "heard": heard})
