"""The Proxmox client: values in, values out. Only `proxmoxer_wire` knows proxmoxer and HTTP."""

from defib_operator.proxmox.client import ProxmoxClient
from defib_operator.proxmox.errors import (
    ProxmoxError,
    ProxmoxForbidden,
    ProxmoxGarbage,
    ProxmoxMisconfigured,
    ProxmoxNodeUnreachable,
    ProxmoxNotFound,
    ProxmoxRejected,
    ProxmoxUnauthorized,
    ProxmoxUnreachable,
)
from defib_operator.proxmox.outcomes import (
    Accepted,
    Finished,
    OutcomeUnknown,
    PostOutcome,
    Refused,
    Running,
    TaskState,
    Unknown,
)
from defib_operator.proxmox.rights import TokenRights
from defib_operator.proxmox.settings import ProxmoxSettings
from defib_operator.proxmox.upid import Upid
from defib_operator.proxmox.values import (
    AgentPing,
    GuestKind,
    GuestLook,
    Inventory,
    InventoryVm,
    IoCounters,
    PowerStatus,
)
from defib_operator.proxmox.wire import Lane

__all__ = [
    "Accepted",
    "AgentPing",
    "Finished",
    "GuestKind",
    "GuestLook",
    "Inventory",
    "InventoryVm",
    "IoCounters",
    "Lane",
    "OutcomeUnknown",
    "PostOutcome",
    "PowerStatus",
    "ProxmoxClient",
    "ProxmoxError",
    "ProxmoxForbidden",
    "ProxmoxGarbage",
    "ProxmoxMisconfigured",
    "ProxmoxNodeUnreachable",
    "ProxmoxNotFound",
    "ProxmoxRejected",
    "ProxmoxSettings",
    "ProxmoxUnauthorized",
    "ProxmoxUnreachable",
    "Refused",
    "Running",
    "TaskState",
    "TokenRights",
    "Unknown",
    "Upid",
]
