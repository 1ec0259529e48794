"""Proxmox's JSON into values. Guesses nothing.

Raises ProxmoxGarbage where a shape is not the API's.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from defib_operator.proxmox.errors import ProxmoxGarbage
from defib_operator.proxmox.outcomes import Finished, Running, TaskState, Unknown
from defib_operator.proxmox.upid import Upid
from defib_operator.proxmox.values import (
    GuestKind,
    GuestLook,
    InventoryVm,
    IoCounters,
    PowerStatus,
)

Row = Mapping[str, object]
Word = TypeVar("Word", bound=StrEnum)

WARNINGS = re.compile(r"WARNINGS: \d+")
CONFIDENTIAL_KEYS = ("amd-sev", "intel-tdx")
STAYS_OFF_ARGUMENT = re.compile(r"(^|\s)--?no-reboot(\s|$)|reboot=shutdown")
NODE_STATUS = {"online": True, "offline": False}


def row(data: object, what: str) -> Row:
    """Take one object."""
    if not isinstance(data, dict):
        raise ProxmoxGarbage(f"{what}: expected an object, got {type(data).__name__}")
    return data


def rows(data: object, what: str) -> Iterator[Row]:
    """Take a list of objects."""
    if not isinstance(data, list):
        raise ProxmoxGarbage(f"{what}: expected a list, got {type(data).__name__}")
    return (row(one, what) for one in data)


def inventory_vms(data: object) -> tuple[InventoryVm, ...]:
    """Read /cluster/resources?type=vm."""
    return tuple(
        InventoryVm(
            vmid=_vmid(one),
            node=_required(one, "node"),
            name=_text(one, "name"),
            kind=_word(one, "type", GuestKind, GuestKind.UNKNOWN),
            status=_word(one, "status", PowerStatus, PowerStatus.UNKNOWN),
            template=_flag(one, "template"),
            lock=_text(one, "lock"),
            ha_state=_text(one, "hastate"),
        )
        for one in rows(data, "the list of VMs")
    )


def nodes(data: object) -> Mapping[str, bool | None]:
    """Read /nodes: online, offline, or None where Proxmox does not know."""
    return {
        _required(one, "node"): NODE_STATUS.get(str(one.get("status")))
        for one in rows(data, "the list of nodes")
    }


def quorate(data: object) -> bool | None:
    """Read /cluster/status. A node that is in no cluster has nobody to agree with: True."""
    listed = list(rows(data, "the cluster's status"))
    if not listed:
        return None
    for one in listed:
        if one.get("type") == "cluster":
            return _flag(one, "quorate") if "quorate" in one else None
    return True


def local_node(data: object) -> str | None:
    """Name the node that answered /cluster/status itself."""
    for one in rows(data, "the cluster's status"):
        if one.get("type") == "node" and _flag(one, "local"):
            return _text(one, "name")
    return None


def family(data: object) -> str | None:
    """Name the cluster of /cluster/status, or the node where it is in none; for people."""
    for one in rows(data, "the cluster's status"):
        if one.get("type") == "cluster":
            name = _text(one, "name")
            return None if name is None else f"the cluster {name}"
    alone = local_node(data)
    return None if alone is None else f"the node {alone}, which is in no cluster"


def guest_look(node: str, vmid: int, status: Row, config: Row) -> GuestLook:
    """Put status/current and config together."""
    ha = status.get("ha")
    managed = ha if isinstance(ha, dict) else {}
    return GuestLook(
        vmid=vmid,
        node=node,
        name=_text(status, "name") or _text(config, "name"),
        power=_word(status, "status", PowerStatus, PowerStatus.UNKNOWN),
        qmpstatus=_text(status, "qmpstatus"),
        lock=_text(status, "lock") or _text(config, "lock"),
        template=_flag(status, "template") or _flag(config, "template"),
        smbios_uuid=_smbios_uuid(config),
        reboots=_flag(config, "reboot", absent=True),
        confidential=_is_confidential(config),
        ha_managed=_flag(managed, "managed") if "managed" in managed else None,
        ha_state=_text(managed, "state"),
        agent_configured=_agent_configured(config),
        uptime_seconds=_number(status, "uptime"),
        counters=IoCounters(
            disk_read=_number(status, "diskread"),
            disk_write=_number(status, "diskwrite"),
            net_in=_number(status, "netin"),
            net_out=_number(status, "netout"),
        ),
    )


def task_state(data: object) -> TaskState:
    """Read a task's status; `exitstatus` is there only once it has stopped."""
    one = row(data, "the task's status")
    if one.get("status") == "running":
        return Running()
    exitstatus = one.get("exitstatus")
    if one.get("status") != "stopped" or not isinstance(exitstatus, str):
        return Unknown(f"the task's status is unreadable: {dict(one)!r:.200}")
    ok = exitstatus == "OK" or WARNINGS.fullmatch(exitstatus) is not None
    return Finished(exitstatus, ok)


def newest_task(data: object, *, vmid: int, task_type: str, user: str, since: int) -> Upid | None:
    """Pick this user's newest task of one kind on one VM, begun at `since` (Unix time) or later.

    Proxmox was asked to filter by most of this already; a filter it forgets must not matter.
    """
    found = [
        upid
        for one in rows(data, "the list of tasks")
        if (upid := Upid.parse(one.get("upid"))) is not None
        if (upid.task_id, upid.task_type, upid.user) == (str(vmid), task_type, user)
        if upid.started_at.timestamp() >= since
    ]
    return max(found, key=lambda upid: upid.started_at, default=None)


def log_lines(data: object) -> tuple[str, ...]:
    """Read a task's log."""
    return tuple(str(one.get("t", "")) for one in rows(data, "the task's log"))


def version(data: object) -> str:
    """Read /version, such as `9.2.11`."""
    return _required(row(data, "the version"), "version")


def _required(one: Row, key: str) -> str:
    value = one.get(key)
    if not isinstance(value, str) or not value:
        raise ProxmoxGarbage(f"Proxmox's answer lacks {key!r}: {dict(one)!r:.200}")
    return value


def _text(one: Row, key: str) -> str | None:
    value = one.get(key)
    return str(value) if value not in (None, "") else None


def _vmid(one: Row) -> int:
    number = _number(one, "vmid")
    if number is None:
        raise ProxmoxGarbage(f"a row of the list of VMs has no vmid: {dict(one)!r:.200}")
    return number


def _number(one: Row, key: str) -> int | None:
    """Read a whole number; some versions send numbers as text."""
    value = one.get(key)
    try:
        return int(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None


def _flag(one: Row, key: str, *, absent: bool = False) -> bool:
    value = one.get(key)
    return absent if value is None else str(value).lower() in {"1", "true", "yes", "on"}


def _word(one: Row, key: str, words: type[Word], otherwise: Word) -> Word:
    try:
        return words(str(one.get(key)))
    except ValueError:
        return otherwise


def _smbios_uuid(config: Row) -> UUID | None:
    for part in (_text(config, "smbios1") or "").split(","):
        key, _, value = part.partition("=")
        if key.strip() == "uuid":
            try:
                return UUID(value.strip())
            except ValueError:
                return None
    return None


def _is_confidential(config: Row) -> bool:
    """Say whether QEMU would end in place of resetting its processors."""
    if any(_text(config, key) is not None for key in CONFIDENTIAL_KEYS):
        return True
    return STAYS_OFF_ARGUMENT.search(_text(config, "args") or "") is not None


def _agent_configured(config: Row) -> bool:
    """Read `agent: 1`, `agent: enabled=1,fstrim_cloned_disks=1`."""
    for part in (_text(config, "agent") or "").split(","):
        key, has_key, value = part.partition("=")
        if not has_key or key == "enabled":
            return (value if has_key else key).strip().lower() in {"1", "true", "yes", "on"}
    return False
