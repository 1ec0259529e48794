"""Which notices become one message, and when it is time. Pure: `now` is an argument.

A group is what most likely has one cause: the VMs of one node, or what a brake is about. A notice
may be about many VMs of it already.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from defib_core.domain.notices import NoticeKind, Severity
from defib_core.store.notices import NewDelivery, Notice
from defib_notify.configuration import Destination, NotifyConfig
from defib_notify.quiet import quiet_until

MANY_GROUPS = 5
"""More than so many at once have one cause that no group shows: they become one message."""
EVERYTHING = "several nodes"
"""As the database calls VMs of many nodes that changed at once."""
TOO_OLD = timedelta(hours=6)
"""What is older is no news: nobody is told of last week by a worker that begins today."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """What a turn comes to: messages, and the notices that are done with."""

    deliveries: Sequence[NewDelivery]
    settled: frozenset[int]
    left: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """The VMs that are left of notices about groups, where there is nothing to tell of some."""


def group(
    notices: Sequence[Notice],
    config: NotifyConfig,
    last_told: Mapping[str, datetime],
    now: datetime,
) -> Grouped:
    """Make messages of what is due; the rest waits for a later turn."""
    current, left = _current(notices)
    news = [one for one in current if now - one.created_at <= TOO_OLD]
    by_group: dict[str, list[Notice]] = defaultdict(list)
    for one in news:
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
    waiting = {one.id for one in news} - {one.id for members in due.values() for one in members}
    return Grouped(
        deliveries,
        frozenset(one.id for one in notices if one.id not in waiting),
        {notice_id: vm_ids for notice_id, vm_ids in left.items() if notice_id in waiting},
    )


def group_of(notice: Notice) -> str:
    """Name the group of a notice."""
    if notice.scope is not None:
        return notice.scope
    return f"node {notice.cluster}/{notice.node or 'unknown'}"


def _current(notices: Sequence[Notice]) -> tuple[Sequence[Notice], Mapping[int, Sequence[int]]]:
    """Leave out what is over; return what is left, and the VMs left of groups that shrank."""
    over = _passing(notices)
    left = {
        one.id: tuple(vm_id for vm_id in one.vm_ids if vm_id not in over[one.id])
        for one in notices
        if one.id in over
    }
    current = [
        replace(one, vm_ids=left[one.id]) if one.id in left else one
        for one in notices
        if left.get(one.id) != ()
    ]
    return current, {notice_id: vm_ids for notice_id, vm_ids in left.items() if vm_ids}


def _passing(notices: Iterable[Notice]) -> Mapping[int, set[int]]:
    """A VM that was down and is back before anybody was told is nothing to tell.

    By notice the VMs that it need not tell of.
    """
    downs: dict[int, int] = {}
    passing: dict[int, set[int]] = defaultdict(set)
    for one in notices:
        for vm_id in one.vm_ids:
            if one.kind is NoticeKind.VM_DOWN:
                downs[vm_id] = one.id
            elif one.kind is NoticeKind.VM_RECOVERED and vm_id in downs:
                passing[downs.pop(vm_id)].add(vm_id)
                passing[one.id].add(vm_id)
            else:
                downs.pop(vm_id, None)
    return passing


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
        "vms": None
        if one.vm_id is not None or not one.vm_ids
        else {"count": len(one.vm_ids), "first": list(one.names)},
        "scope": one.scope,
        "detail": one.detail,
    }
