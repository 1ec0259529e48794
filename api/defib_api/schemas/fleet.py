"""The fleet from afar: pages of VMs, columns, nodes, labels."""

from pydantic import Field

from defib_api.schemas.base import ApiModel, Moment
from defib_api.schemas.vms import Vm
from defib_core.store.places import NodeView


class VmPage(ApiModel):
    """One page of VMs."""

    items: list[Vm]
    next_cursor: str | None = Field(description="For the next page; null on the last.")
    total: int = Field(description="How many VMs all pages have.")


class Place(ApiModel):
    """A node of a Proxmox cluster; null where it is not known which."""

    cluster: str
    node: str | None


class FleetVector(ApiModel):
    """The whole fleet. The columns have one order; `node` counts from 0 in `nodes`."""

    version: int = Field(description="The number of the last change that is in it.")
    taken_at: Moment
    nodes: list[Place]
    ids: list[int] = Field(description="123 for vm_123.")
    hostnames: list[str]
    node: list[int]
    states: str = Field(
        description="A letter each: h healthy, w warning, d down, u unknown, f reset_failed."
    )
    flags: list[int] = Field(
        description="The sum of 1 paused, 2 a reset is pending, 4 held: down and not reset."
    )


class Node(ApiModel):
    """A Proxmox node, and how many of its VMs are in which state."""

    cluster: str
    node: str | None = Field(description="null: of these VMs it is not known.")
    online: bool | None = Field(description="What Proxmox says; null where it does not.")
    total: int
    healthy: int
    warning: int
    down: int = Field(description="Without `resetFailed`.")
    unknown: int
    reset_failed: int

    @classmethod
    def from_view(cls, view: NodeView) -> "Node":
        """Show a node."""
        return cls(
            cluster=view.cluster,
            node=view.node,
            online=view.online,
            total=view.total,
            healthy=view.healthy,
            warning=view.warning,
            down=view.down,
            unknown=view.unknown,
            reset_failed=view.reset_failed,
        )


class Label(ApiModel):
    """A label in use, and its values."""

    key: str
    values: list[str]
