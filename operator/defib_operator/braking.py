"""The brakes of one sweep: which are in force, which have just let go, and the record of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.brakes import (
    Scope,
    Verdict,
    brakes_in_force,
    brakes_on,
    may_brake,
    suspect_after,
)
from defib_core.domain.observation import Brake
from defib_core.domain.policy import Policy
from defib_core.store import brakes as store
from defib_core.store.brakes import Counted, FleetRule, OpenBrake, Suspect
from defib_core.store.sweep import FleetClock
from defib_core.store.unwell import Patience, smallest_timeouts, unwell

log = structlog.get_logger(__name__)

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

Pair = tuple[int, Scope]
"""A fleet, by whose policy a scope is judged."""


@dataclass(frozen=True, slots=True)
class BrakeView:
    """The brakes as they are at one moment."""

    counted: Counted
    in_force: Mapping[Pair, Sequence[Verdict]]
    cooling_until: Mapping[Pair, datetime]
    open: Sequence[OpenBrake]
    _known: dict[tuple[int, tuple[Scope, ...]], tuple[Brake, ...]] = field(
        default_factory=dict, init=False, compare=False
    )

    def on(self, fleet: int, scopes: tuple[Scope, ...]) -> tuple[Brake, ...]:
        """Say which brakes hold a VM of the given fleet and groups; once for all VMs of these."""
        group = (fleet, scopes)
        found = self._known.get(group)
        if found is None:
            found = brakes_on(fleet, scopes, self.in_force, self.cooling_until)
            self._known[group] = found
        return found

    def unbraked_suspects(self) -> Sequence[Suspect]:
        """Those who may be down soon, and would be looked at then."""
        return [one for one in self.counted.suspects if not self.on(one.fleet, one.scopes)]


async def view_brakes(
    connection: AsyncConnection,
    policies: Mapping[int, Policy],
    clocks: Mapping[int, FleetClock],
    now: datetime,
    members: Mapping[Scope, int] | None = None,
) -> BrakeView:
    """Count, and say what is in force; writes nothing.

    `members` are the sizes of the groups where they were counted just before: that takes longest.
    """
    counted = await _count(connection, policies, clocks, now, members)
    in_force = brakes_in_force(counted.silent, counted.members, policies)
    opened = await store.open_brakes(connection)
    longest = max((one.safety.storm_cooldown for one in policies.values()), default=timedelta(0))
    ended = dict(await store.ended_since(connection, now - longest))
    braked = {scope for _, scope in in_force}
    # What has let go since the last sweep begins to cool with this one.
    ended |= {one.scope: now for one in opened if one.held and one.scope not in braked}
    cooling = {
        (fleet, scope): at + policy.safety.storm_cooldown
        for fleet, policy in policies.items()
        for scope, at in ended.items()
        if now < at + policy.safety.storm_cooldown
    }
    return BrakeView(counted, in_force, cooling, opened)


async def _count(
    connection: AsyncConnection,
    policies: Mapping[int, Policy],
    clocks: Mapping[int, FleetClock],
    now: datetime,
    known: Mapping[Scope, int] | None,
) -> Counted:
    """Find the silent; count the members of their groups where that can matter."""
    smallest = await smallest_timeouts(connection)
    rules = [
        FleetRule(
            fleet=fleet,
            arm_after=policy.safety.arm_after_reports,
            suspect_after=suspect_after(policy, smallest.get(fleet, policy.stale_timeout)),
            # Who cannot be heard is not silent.
            floor=now if clocks[fleet].blind else clocks[fleet].floor,
            domain_label=policy.safety.failure_domain_label,
            relays=clocks[fleet].relays,
        )
        for fleet, policy in policies.items()
    ]
    patience = [
        Patience(
            min(rule.suspect_after, smallest.get(rule.fleet, rule.suspect_after)),
            clocks[rule.fleet].floor,
            clocks[rule.fleet].blind,
        )
        for rule in rules
    ]
    ids = await unwell(connection, patience, now)
    silent, suspects = await store.silent_members(connection, rules, ids, now)
    counts = may_brake(silent, policies)
    if not counts:
        return Counted(ids, {}, silent, suspects)
    members = known or await store.members(connection, rules, now)
    return Counted(ids, members, silent, suspects)


async def keep_brakes(connection: AsyncConnection, view: BrakeView, now: datetime) -> None:
    """Write down which brakes began and which let go."""
    verdicts = {scope: found[0] for (_, scope), found in view.in_force.items()}
    known = {one.scope for one in view.open}
    cooling = {scope for _, scope in view.cooling_until}
    for brake in view.open:
        if brake.scope not in verdicts:
            await store.end(connection, brake.id, now)
            log.info("brake_let_go", kind=brake.scope.kind, key=brake.scope.key)
    for scope in sorted(verdicts.keys() - known):
        verdict = verdicts[scope]
        # A new dip while it cools starts the cooldown again, whether or not it holds anybody.
        await store.begin(connection, verdict, held=scope in cooling, now=now)
        log.warning(
            "brake_in_force",
            kind=scope.kind.value,
            key=scope.key,
            reason=verdict.reason.value,
            crowd=verdict.crowd,
            members=verdict.members,
            allowed=verdict.allowed,
        )
