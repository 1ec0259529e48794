"""The words of a message: a subject that says it all, and a line for each thing. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from defib_core.domain.notices import NoticeKind
from defib_core.store.notices import Delivery

MOST_LINES = 25
PHRASES = {
    NoticeKind.RESET_FAILED: ("did not come back after its resets", "VMs did not come back"),
    NoticeKind.BRAKE_IN_FORCE: ("many VMs are silent: none is reset", "brakes are in force"),
    NoticeKind.GUEST_ALIVE: ("lives, and its agent is silent", "VMs live, their agents are silent"),
    NoticeKind.VM_HELD: ("is down and is not reset", "VMs are down and are not reset"),
    NoticeKind.VM_DOWN: ("is down", "VMs are down"),
    NoticeKind.BRAKE_LET_GO: ("the brake is over", "brakes are over"),
    NoticeKind.VM_RECOVERED: ("is back", "VMs are back"),
}
"""From the worst: said of one, and of many."""


def subject_of(delivery: Delivery) -> str:
    """Say in one line what it is about."""
    tally: Counter[NoticeKind] = Counter()
    for one in delivery.notices:
        tally[NoticeKind(one["kind"])] += _count(one)
    told = [
        f"{tally[kind]} {many}" if tally[kind] > 1 else f"{_who(delivery.notices, kind)} {single}"
        for kind, (single, many) in PHRASES.items()
        if kind in tally
    ]
    return f"[Defib] {'; '.join(told)} ({delivery.group_key})"


def text_of(delivery: Delivery) -> str:
    """Say each thing in a line of its own; of many the first."""
    lines = [_line(one) for one in delivery.notices[:MOST_LINES]]
    more = len(delivery.notices) - MOST_LINES
    if more > 0:
        lines.append(f"... and {more} more")
    return "\n".join(lines)


def body_of(delivery: Delivery) -> dict[str, Any]:
    """The body of our own webhook: type, timestamp, data, as Standard Webhooks has it."""
    return {
        "type": "defib.notification",
        "timestamp": delivery.created_at.isoformat(),
        "data": {
            "destination": delivery.destination,
            "severity": delivery.severity.value,
            "group": delivery.group_key,
            "subject": subject_of(delivery),
            "notices": list(delivery.notices),
        },
    }


def _count(one: Mapping[str, Any]) -> int:
    # What was queued by a version that knew of no groups does not have the field.
    vms = one.get("vms")
    return 1 if vms is None else int(vms["count"])


def _who(notices: Sequence[Mapping[str, Any]], kind: NoticeKind) -> str:
    found = next(one for one in notices if one["kind"] == kind.value)
    if found["vm"]:
        return str(found["vm"]["hostname"])
    first = (found.get("vms") or {}).get("first")
    return str(first[0] if first else found["scope"])


def _line(one: Mapping[str, Any]) -> str:
    vm = one["vm"]
    who = _whole(one) if vm is None else f"{vm['hostname']} ({vm['cluster']}/{vm['vmid']})"
    return f"{one['at']}  {one['kind']}  {who}: {one['detail']}"


def _whole(one: Mapping[str, Any]) -> str:
    """Say what a notice is about that is about no VM by itself."""
    vms = one.get("vms")
    if vms is None:
        return str(one["scope"])
    more = ["..."] if vms["count"] > len(vms["first"]) else []
    number = f"{vms['count']} VMs" if vms["count"] > 1 else "1 VM"
    return f"{number} of {one['scope']} ({', '.join([*vms['first'], *more])})"
