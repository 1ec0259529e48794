"""Puts together what the store and Proxmox know of a VM, for the decision to judge.

The sweep, the pipeline just before a POST, and manual resets all judge through here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.config.base import InvalidSpec
from defib_core.config.system_config import parse_system_config
from defib_core.domain.brakes import Scope
from defib_core.domain.decide import Case
from defib_core.domain.leaving import stopping_until
from defib_core.domain.limits import Room
from defib_core.domain.observation import History, Identity, Observation, Surroundings, Treatment
from defib_core.domain.policy import Policy
from defib_core.store import controls, relays, sweep
from defib_core.store.brakes import scopes_of
from defib_core.store.controls import Window
from defib_core.store.relays import RelayClock
from defib_core.store.sweep import Candidate, Config, FleetClock
from defib_operator.braking import LONG_AGO, BrakeView, view_brakes
from defib_operator.looks import Finding

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is true for all VMs at one moment."""

    now: datetime
    policies: Mapping[int, Policy]
    clocks: Mapping[int, FleetClock]
    blind_since: Mapping[int, datetime | None]
    kubernetes_heard_at: datetime | None
    room: Room
    brakes: BrakeView
    global_stop: str | None
    windows: Sequence[Window]


async def set_scene(
    connection: AsyncConnection,
    now: datetime,
    kubernetes_heard_at: datetime | None,
    *,
    sized: bool = True,
    members: Mapping[Scope, int] | None = None,
) -> Scene:
    """Read what is true for all VMs; `sized` also how large the fleets are, to hand out places.

    `members` are the sizes of the groups, where they are known from a moment ago.
    """
    configs = await sweep.configs(connection)
    policies = {one.id: _policy(one) for one in configs}
    proved = await sweep.last_proof(connection)
    clocks = {
        config_id: await _clock(connection, config_id, policy, proved, now)
        for config_id, policy in policies.items()
    }
    seen = await sweep.traffic(connection, now, sized=sized)
    stopped = await controls.global_stop(connection)
    brakes = await view_brakes(connection, policies, clocks, now, members)
    return Scene(
        now=now,
        policies=policies,
        clocks=clocks,
        blind_since={
            config_id: (proved or LONG_AGO) if clock.blind else None
            for config_id, clock in clocks.items()
        },
        kubernetes_heard_at=kubernetes_heard_at,
        room=Room(seen.in_flight, seen.in_flight_on_node, seen.sent_last_hour, seen.fleet_sizes),
        brakes=brakes,
        windows=await controls.windows(connection),
        global_stop=None if stopped is None else f"{stopped.reason} ({stopped.started_by})",
    )


async def _clock(
    connection: AsyncConnection,
    config_id: int,
    policy: Policy,
    proved: datetime | None,
    now: datetime,
) -> FleetClock:
    blind_after = policy.safety.blind_after
    ended = await sweep.last_blindness(connection, blind_after)
    let_go = await controls.last_stop_ended(connection)
    return FleetClock(
        config_id=config_id,
        floor=max(ended or LONG_AGO, let_go or LONG_AGO),
        blind=proved is None or now - proved > blind_after,
        boot_grace=policy.boot_grace,
        clear_after=policy.attempts_clear_after,
        relays=await relays.clocks(connection, blind_after, now),
    )


def _policy(config: Config) -> Policy:
    """Read a stored SystemConfig. One that cannot be read resets nobody, and stops no other."""
    try:
        return parse_system_config(config.spec).to_policy()
    except InvalidSpec as error:
        log.warning("stored_config_unreadable", config=config.name, error=str(error))
        return Policy(auto_reset_enabled=False)


def shortest_interval(configs: Sequence[Config]) -> timedelta:
    """How often to sweep: as often as the most impatient fleet asks for."""
    asked = [_policy(one).stale_check_interval for one in configs]
    return min(asked, default=Policy().stale_check_interval)


def case_of(
    one: Candidate,
    scene: Scene,
    finding: Finding | None,
    *,
    manual: bool = False,
    forced: bool = False,
) -> Case:
    """Put one VM's facts together."""
    policy = scene.policies[one.config_id]
    relay = _relay(one, scene)
    return Case(
        observation=_observation(one, scene, finding),
        treatment=Treatment(
            policy=policy,
            max_attempts=one.max_attempts,
            enabled=one.remediation_enabled,
            steps=one.steps,
            paused_reason=one.paused_reason,
            paused_until=one.paused_until,
        ),
        history=History(
            attempts=one.reset_attempts,
            last_attempt_at=one.last_attempt_at,
            unfinished=one.unfinished,
            owes_start=one.owes_start,
            resumed_io_error=one.resumed_io_error,
            dry_run_done=one.dry_run_done,
        ),
        around=Surroundings(
            ingest_blind_since=scene.blind_since[one.config_id],
            relay_blind=None if relay is None else relay.blindness,
            control_plane_heard_at=scene.kubernetes_heard_at,
            global_stop=scene.global_stop,
            maintenance=_maintenance(one, scene),
            reports_rejected=one.rejected_reason,
            brakes=scene.brakes.on(one.config_id, scopes(one, policy)),
        ),
        manual=manual,
        forced=forced,
    )


def _maintenance(one: Candidate, scene: Scene) -> str | None:
    """Why a VM is in maintenance: a window, or its own word that it is shutting down."""
    for window in scene.windows:
        if window.holds(one.labels, one.config_id, scene.now):
            return f"{window.reason} (window {window.name}, until {window.ends_at:%H:%M:%SZ})"
    leaves = stopping_until(one.status, one.last_heartbeat)
    if leaves is not None and scene.now < leaves:
        return f"it said that it is shutting down; until {leaves:%H:%M:%SZ}"
    return None


def _relay(one: Candidate, scene: Scene) -> RelayClock | None:
    """The relay its last report came through; None where it came without."""
    if one.relay_id is None:
        return None
    known = scene.clocks[one.config_id].relays
    return next((relay for relay in known if relay.relay_id == one.relay_id), None)


def floor_of(one: Candidate, scene: Scene) -> datetime:
    """The latest floor of its clock that is known without asking Proxmox."""
    relay = _relay(one, scene)
    back = LONG_AGO if relay is None or relay.floor is None else relay.floor
    floor = max(one.clock_floor, scene.clocks[one.config_id].floor, back)
    leaves = stopping_until(one.status, one.last_heartbeat)
    return max(floor, leaves) if leaves is not None and leaves <= scene.now else floor


def scopes(one: Candidate, policy: Policy) -> tuple[Scope, ...]:
    """Say which groups a VM belongs to."""
    label = policy.safety.failure_domain_label
    domain = None if label is None else one.labels.get(label)
    return scopes_of(one.config_id, one.cluster_id, one.node, domain)


def _observation(one: Candidate, scene: Scene, finding: Finding | None) -> Observation:
    return Observation(
        vm_id=one.vm_id,
        identity=Identity(
            vmid=one.vmid,
            hostname=one.hostname,
            proxmox_name=one.proxmox_name,
            pinned_uuid=one.pinned_uuid,
            reported_uuid=one.smbios_uuid,
        ),
        state=one.state,
        last_heartbeat=one.last_heartbeat,
        clock_floor=floor_of(one, scene),
        stale_timeout=one.stale_timeout,
        reports=one.reports,
        guest=finding,
    )
