"""What Proxmox said, as values. What it did not say is None or UNKNOWN, never a guess."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class GuestKind(StrEnum):
    """What a row of the inventory is. Only QEMU guests can be reset."""

    QEMU = "qemu"
    LXC = "lxc"
    UNKNOWN = "unknown"


class PowerStatus(StrEnum):
    """Whether the QEMU process exists. `running` includes paused guests: see `qmpstatus`."""

    RUNNING = "running"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


class AgentPing(StrEnum):
    """What the QEMU guest agent (not ours) had to say."""

    ANSWERED = "answered"
    """The guest lives."""
    SILENT = "silent"
    """Configured, and did not answer."""
    NOT_CONFIGURED = "not_configured"
    """No evidence either way."""
    FORBIDDEN = "forbidden"
    """The token may not ask. No evidence either way."""
    UNKNOWN = "unknown"
    """Proxmox could not be asked, or said something we do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryVm:
    """One row of the cluster's list. `status` may lag by ten seconds, and minutes on dead nodes."""

    vmid: int
    node: str
    name: str | None
    kind: GuestKind
    status: PowerStatus
    template: bool
    lock: str | None
    """None: not locked."""
    ha_state: str | None
    """None: not managed by HA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The whole cluster at a glance."""

    vms: tuple[InventoryVm, ...]
    nodes: Mapping[str, bool | None]
    """Node to whether it is online; None: Proxmox does not know."""
    quorate: bool | None
    """None: could not be read, see `unreadable`."""
    version: str | None
    unreadable: Mapping[str, str]
    """What could not be read (`quorate`, `version`), with Proxmox's words."""

    @property
    def empty_is_suspicious(self) -> bool:
        """True where the list has no rows: more likely missing rights than an empty cluster."""
        return not self.vms

    def find(self, vmid: int) -> InventoryVm | None:
        """Pick a VM's row; None says only that the token was not shown one."""
        return next((vm for vm in self.vms if vm.vmid == vmid), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class IoCounters:
    """Bytes since the QEMU process began; a reset does not set them back. None: not told."""

    disk_read: int | None
    disk_write: int | None
    net_in: int | None
    net_out: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestLook:
    """One VM, asked freshly: its current status and its configuration together."""

    vmid: int
    node: str
    name: str | None
    power: PowerStatus
    qmpstatus: str | None
    """QEMU's run state. `running` is no proof of life: it is also said when QEMU is hung."""
    lock: str | None
    """None: not locked."""
    template: bool
    smbios_uuid: UUID | None
    reboots: bool
    """False (`reboot: 0`): a reset would switch the guest off."""
    confidential: bool
    """SEV, TDX or `-no-reboot` among the arguments: a reset would switch the guest off."""
    ha_managed: bool | None
    ha_state: str | None
    agent_configured: bool
    """The QEMU guest agent is switched on in the configuration; not that it answers."""
    uptime_seconds: int | None
    """Of the QEMU process. Does not change on a reset."""
    counters: IoCounters

    @property
    def reset_switches_off(self) -> bool:
        """True where a reset ends the QEMU process in place of rebooting the guest."""
        return self.confidential or not self.reboots
