"""What is not covered, as the API tells it."""

from pydantic import Field

from defib_api.schemas.base import ApiModel, Moment
from defib_api.schemas.identifiers import vm_id_text
from defib_core.store import coverage as store


class AgentlessVm(ApiModel):
    """A VM in Proxmox that has never reported."""

    cluster: str
    node: str
    vmid: str
    name: str | None
    state: str = Field(description="`running`, `stopped` or `unknown`, as Proxmox lists it.")


class UnknownAgent(ApiModel):
    """A machine that reports, and that Proxmox does not list."""

    vm_id: str | None = Field(description="null: it reports by a UUID that nobody has found.")
    hostname: str
    cluster: str
    vmid: str | None
    reason: str
    message: str
    last_heartbeat: Moment | None


class NotResettableVm(ApiModel):
    """A VM that would not be reset if it died now."""

    vm_id: str
    hostname: str
    cluster: str
    node: str | None
    reason: str = Field(description="The word that holds and conditions use for it, or `DryRun`.")
    message: str


class InventoryRead(ApiModel):
    """A Proxmox cluster, and when its list of VMs was last read."""

    cluster: str
    read_at: Moment | None = Field(description="null: never, so that nothing is known of it.")


class CoverageCounts(ApiModel):
    """How many there are, also where more than 1,000 are not listed."""

    agentless: int
    unknown_agents: int
    not_resettable: int
    inventory: int = Field(description="So many VMs and containers Proxmox lists.")


class Coverage(ApiModel):
    """What is not covered. Each list has at most 1,000; `counts` are of all."""

    taken_at: Moment
    agentless: list[AgentlessVm]
    unknown_agents: list[UnknownAgent]
    not_resettable: list[NotResettableVm]
    clusters: list[InventoryRead]
    counts: CoverageCounts

    @classmethod
    def from_store(cls, found: store.Coverage) -> "Coverage":
        """Show what the store found."""
        return cls(
            taken_at=found.taken_at,
            agentless=[_agentless(one) for one in found.agentless],
            unknown_agents=[_unknown(one) for one in found.unknown_agents],
            not_resettable=[_not_resettable(one) for one in found.not_resettable],
            clusters=[InventoryRead(cluster=c.cluster, read_at=c.read_at) for c in found.clusters],
            counts=CoverageCounts(
                agentless=found.counts.agentless,
                unknown_agents=found.counts.unknown_agents,
                not_resettable=found.counts.not_resettable,
                inventory=found.counts.inventory,
            ),
        )


def _agentless(one: store.Agentless) -> AgentlessVm:
    return AgentlessVm(
        cluster=one.cluster, node=one.node, vmid=str(one.vmid), name=one.name, state=one.state
    )


def _unknown(one: store.UnknownAgent) -> UnknownAgent:
    return UnknownAgent(
        vm_id=None if one.vm_id is None else vm_id_text(one.vm_id),
        hostname=one.hostname,
        cluster=one.cluster,
        vmid=None if one.vmid is None else str(one.vmid),
        reason=one.reason,
        message=one.message,
        last_heartbeat=one.last_heartbeat,
    )


def _not_resettable(one: store.NotResettable) -> NotResettableVm:
    return NotResettableVm(
        vm_id=vm_id_text(one.vm_id),
        hostname=one.hostname,
        cluster=one.cluster,
        node=one.node,
        reason=one.reason,
        message=one.message,
    )
