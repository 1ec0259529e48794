"""Which notices become one message, and when it is time. Pure: `now` is an argument.

A group is what most likely has one cause: the VMs of one node, or what a brake is about.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from defib_core.domain.notices import NoticeKind, Severity
from defib_core.store.notices import NewDelivery, Notice
from defib_notify.configuration import Destination, NotifyConfig
from defib_notify.quiet import quiet_until

MANY_GROUPS = 5
"""More than so many at once have one cause that no group shows: they become one message."""
EVERYTHING = "several nodes"
TOO_OLD = timedelta(hours=6)
"""What is older is no news: nobody is told of last week by a worker that begins today."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """What a turn comes to: messages, and the notices that are done with."""

    deliveries: Sequence[NewDelivery]
    settled: frozenset[int]


def group(
    notices: Sequence[Notice],
    config: NotifyConfig,
    last_told: Mapping[str, datetime],
    now: datetime,
) -> Grouped:
    """Make messages of what is due; the rest waits for a later turn."""
    passing = _passing(notices) | {one.id for one in notices if now - one.created_at > TOO_OLD}
    by_group: dict[str, list[Notice]] = defaultdict(list)
    for one in notices:
        if one.id not in passing:
            by_group[group_of(one)].append(one)
    due = {
        key: members
        for key, members in by_group.items()
        if _is_due(members, config, last_told.get(key), now)
    }
    if len(due) > MANY_GROUPS:
        due = {EVERYTHING: [one for members in due.values() for one in members]}
    deliveries = [
        made
        for key, members in sorted(due.items())
        for destination in config.destinations
        if (made := _message(destination, key, members, now)) is not None
    ]
    told = {one.id for members in due.values() for one in members}
    return Grouped(deliveries, frozenset(told | passing))


def group_of(notice: Notice) -> str:
    """Name the group of a notice."""
    if notice.scope is not None:
        return notice.scope
    return f"node {notice.cluster}/{notice.node or 'unknown'}"


def _passing(notices: Iterable[Notice]) -> frozenset[int]:
    """A VM that was down and is back before anybody was told is nothing to tell."""
    downs: dict[int, Notice] = {}
    passing: set[int] = set()
    for one in notices:
        if one.vm_id is None:
            continue
        if one.kind is NoticeKind.VM_DOWN:
            downs[one.vm_id] = one
        elif one.kind is NoticeKind.VM_RECOVERED and one.vm_id in downs:
            passing |= {downs.pop(one.vm_id).id, one.id}
        else:
            downs.pop(one.vm_id, None)
    return frozenset(passing)


def _is_due(
    members: Sequence[Notice], config: NotifyConfig, told_at: datetime | None, now: datetime
) -> bool:
    waited = now - min(one.created_at for one in members)
    if waited < timedelta(seconds=config.group_wait_seconds):
        return False
    if told_at is None or _worst(members) is Severity.CRITICAL:
        return True
    return now - told_at >= timedelta(seconds=config.group_interval_seconds)


def _message(
    destination: Destination, key: str, members: Sequence[Notice], now: datetime
) -> NewDelivery | None:
    wanted = [one for one in members if destination.wants(one.kind)]
    if not wanted:
        return None
    worst = _worst(wanted)
    disturbs = worst is Severity.CRITICAL and not destination.quiet_for_critical
    next_at = now if disturbs else quiet_until(destination.quiet, now)
    return NewDelivery(destination.name, key, worst, [_plain(one) for one in wanted], next_at)


def _worst(members: Iterable[Notice]) -> Severity:
    return max((one.kind.severity for one in members), key=lambda severity: severity.rank)


def _plain(one: Notice) -> dict[str, Any]:
    """A notice as it stands in the message; these fields are documented."""
    return {
        "kind": one.kind.value,
        "severity": one.kind.severity.value,
        "at": one.at.isoformat(),
        "vm": None
        if one.vm_id is None
        else {
            "id": f"vm_{one.vm_id}",
            "hostname": one.hostname,
            "cluster": one.cluster,
            "vmid": str(one.vmid),
            "node": one.node,
        },
        "scope": one.scope,
        "detail": one.detail,
    }
