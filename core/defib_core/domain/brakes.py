"""Is it bigger than this VM? Brakes on what many VMs have in common: fleet, cluster, domain, node.

Counted are members that are down or suspect, and of those the largest crowd: the most whose last
heartbeats lie within half an hour of each other. A brake holds before the first VM of a silent
crowd is stale, and after it lets go nothing new happens for a while. Pure.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from defib_core.domain.observation import Brake
from defib_core.domain.policy import Policy
from defib_core.domain.reasons import HoldReason

CROWD_WINDOW = timedelta(minutes=30)
PATH_FLEET_MIN = 4
LEAST_INTERVALS, MOST_INTERVALS = 1.5, 3.0


class ScopeKind(StrEnum):
    """What a group of VMs has in common."""

    FLEET = "fleet"
    CLUSTER = "cluster"
    DOMAIN = "domain"
    NODE = "node"


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """A group of VMs: `key` is the fleet's or cluster's id, `fleet/label value`, `cluster/node`."""

    kind: ScopeKind
    key: str

    @property
    def name(self) -> str:
        """The part of the key that a person knows."""
        return self.key.split("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Silent:
    """A member that is down or suspect."""

    vm_id: int
    fleet: int
    scopes: tuple[Scope, ...]
    last_heartbeat: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """One brake in force: on which scope, and by which count."""

    scope: Scope
    reason: HoldReason
    crowd: int
    members: int
    allowed: int

    def brake(self) -> Brake:
        """Say it for a VM that it holds."""
        return Brake(self.reason, self.message)

    @property
    def message(self) -> str:
        """What is wrong, for the person on call."""
        # No count of the silent: it changes all the time, and each change would be written.
        if self.reason is HoldReason.PATH_FAILURE:
            return "more than half of its fleet is silent: the way of the heartbeats is suspect"
        where = {
            ScopeKind.FLEET: "of its fleet",
            ScopeKind.CLUSTER: "of its Proxmox cluster",
            ScopeKind.DOMAIN: f"of its failure domain {self.scope.name}",
            ScopeKind.NODE: f"on its node {self.scope.name}",
        }[self.scope.kind]
        return f"more than {self.allowed} of the {self.members} VMs {where} are silent at once"


def suspect_after(policy: Policy, smallest_stale_timeout: timedelta) -> timedelta:
    """How long a member may be silent before it counts."""
    least = policy.report_interval * LEAST_INTERVALS
    most = policy.report_interval * MOST_INTERVALS
    return min(max(smallest_stale_timeout / 2, least), most)


def may_brake(silent: Sequence[Silent], policies: Mapping[int, Policy]) -> bool:
    """Say whether some brake could be in force, however large the groups are.

    Where it could not, nobody has to count their members.
    """
    least = min((one.safety.min_down_allowed for one in policies.values()), default=0)
    harmless = min(least, PATH_FLEET_MIN // 2)
    return any(crowd > harmless for crowd in _crowds(silent)[0].values())


def largest_crowd(heartbeats: Iterable[datetime]) -> int:
    """The most heartbeats that lie within the window of each other."""
    ordered = sorted(heartbeats)
    if ordered and ordered[-1] - ordered[0] <= CROWD_WINDOW:
        return len(ordered)
    return max(
        (
            bisect_right(ordered, first + CROWD_WINDOW) - index
            for index, first in enumerate(ordered)
        ),
        default=0,
    )


def allowed_down(policy: Policy, kind: ScopeKind, members: int) -> int:
    """How many members of a scope may be silent at once; percentages round down."""
    safety = policy.safety
    percent = safety.max_node_down_percent if kind is ScopeKind.NODE else safety.max_down_percent
    return max(safety.min_down_allowed, members * percent // 100)


def brakes_in_force(
    silent: Sequence[Silent], members: Mapping[Scope, int], policies: Mapping[int, Policy]
) -> dict[tuple[int, Scope], list[Verdict]]:
    """Find the brakes in force, for each fleet by its own policy, on each scope it has VMs in.

    `members` counts the VMs of each scope over all fleets; keys of the answer are (fleet, scope).
    """
    crowds, pairs = _crowds(silent)
    judged = {
        (fleet, scope): _judge(scope, crowds[scope], members.get(scope, 0), policies[fleet])
        for fleet, scope in pairs
    }
    return {pair: verdicts for pair, verdicts in judged.items() if verdicts}


def _crowds(silent: Sequence[Silent]) -> tuple[dict[Scope, int], set[tuple[int, Scope]]]:
    """Count the largest crowd of each scope; and say which fleets have silent VMs in which."""
    heartbeats: dict[Scope, list[datetime]] = defaultdict(list)
    groups: dict[tuple[int, tuple[Scope, ...]], list[datetime]] = defaultdict(list)
    for one in silent:
        groups[one.fleet, one.scopes].append(one.last_heartbeat)
    for (_, scopes), found in groups.items():
        for scope in scopes:
            heartbeats[scope] += found
    crowds = {scope: largest_crowd(found) for scope, found in heartbeats.items()}
    return crowds, {(fleet, scope) for fleet, scopes in groups for scope in scopes}


def _judge(scope: Scope, crowd: int, members: int, policy: Policy) -> list[Verdict]:
    allowed = allowed_down(policy, scope.kind, members)
    found = []
    if scope.kind is ScopeKind.FLEET and members >= PATH_FLEET_MIN and 2 * crowd > members:
        found.append(Verdict(scope, HoldReason.PATH_FAILURE, crowd, members, allowed))
    if crowd > allowed:
        reason = HoldReason.NODE_BRAKE if scope.kind is ScopeKind.NODE else HoldReason.FLEET_BRAKE
        found.append(Verdict(scope, reason, crowd, members, allowed))
    return found


ORDER = (HoldReason.PATH_FAILURE, HoldReason.FLEET_BRAKE, HoldReason.NODE_BRAKE)


def brakes_on(
    fleet: int,
    scopes: Iterable[Scope],
    in_force: Mapping[tuple[int, Scope], Sequence[Verdict]],
    cooling_until: Mapping[tuple[int, Scope], datetime],
) -> tuple[Brake, ...]:
    """Say which brakes hold a VM, in the order of their reasons."""
    pairs = [(fleet, scope) for scope in scopes]
    verdicts = [one for pair in pairs for one in in_force.get(pair, ())]
    found = [one.brake() for one in sorted(verdicts, key=lambda one: ORDER.index(one.reason))]
    until = max((cooling_until[pair] for pair in pairs if pair in cooling_until), default=None)
    if until is not None:
        message = f"a brake has just let go; nothing new before {until:%Y-%m-%dT%H:%M:%SZ}"
        found.append(Brake(HoldReason.STORM_COOLDOWN, message))
    return tuple(found)
