"""How many resets may be under way, and who of those that may be reset gets the free places.

Counted by fleet and by Proxmox node (over all fleets), and by hour. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from defib_core.domain.decide import Hold
from defib_core.domain.policy import Policy
from defib_core.domain.reasons import HoldReason

NodeKey = tuple[int, str | None]
"""Cluster and node."""

LEAST_IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class Wanting:
    """A VM that may be reset, asking for a place."""

    vm_id: int
    fleet: int
    node: NodeKey
    attempts: int
    silence: timedelta


@dataclass(frozen=True, slots=True)
class Room:
    """What is under way already."""

    in_flight: Mapping[int, int]
    in_flight_on_node: Mapping[NodeKey, int]
    sent_last_hour: Mapping[int, int]
    fleet_sizes: Mapping[int, int]


def most_in_flight(policy: Policy, fleet_size: int) -> int:
    """How many resets of a fleet may be in flight at once; at least two."""
    return max(LEAST_IN_FLIGHT, fleet_size * policy.safety.max_concurrent_percent // 100)


def allot(
    wanting: Iterable[Wanting], room: Room, policies: Mapping[int, Policy]
) -> dict[int, Hold | None]:
    """Give the free places to the fewest attempts, then to the longest silence.

    Returns for each VM None where it got a place, else the hold.
    """
    taken = _Taken(dict(room.in_flight), dict(room.in_flight_on_node), dict(room.sent_last_hour))
    order = sorted(wanting, key=lambda one: (one.attempts, -one.silence, one.vm_id))
    return {one.vm_id: _place(one, taken, room, policies[one.fleet]) for one in order}


@dataclass(frozen=True, slots=True)
class _Taken:
    fleet: dict[int, int]
    node: dict[NodeKey, int]
    hour: dict[int, int]


def _place(one: Wanting, taken: _Taken, room: Room, policy: Policy) -> Hold | None:
    hourly = policy.safety.max_resets_per_hour
    if taken.hour.get(one.fleet, 0) >= hourly:
        return Hold(HoldReason.HOURLY_LIMIT, f"{hourly} resets were sent within the last hour")
    limit = most_in_flight(policy, room.fleet_sizes.get(one.fleet, 0))
    if taken.fleet.get(one.fleet, 0) >= limit:
        return Hold(HoldReason.IN_FLIGHT_LIMIT, f"{limit} resets of its fleet are under way")
    on_node = policy.safety.max_concurrent_per_node
    if taken.node.get(one.node, 0) >= on_node:
        return Hold(HoldReason.IN_FLIGHT_LIMIT, f"{on_node} resets on {one.node[1]} are under way")
    for counter, key in ((taken.fleet, one.fleet), (taken.hour, one.fleet)):
        counter[key] = counter.get(key, 0) + 1
    taken.node[one.node] = taken.node.get(one.node, 0) + 1
    return None
