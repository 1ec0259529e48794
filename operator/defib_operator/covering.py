"""What Proxmox lists, as rows to keep: the API tells from them what is not covered. Pure."""

from collections.abc import Sequence

from defib_core.store.inventory import Guest
from defib_operator.proxmox import Inventory, InventoryVm, TokenRights
from defib_operator.proxmox.rights import POWER


def guests_of(inventory: Inventory, rights: TokenRights | None) -> Sequence[Guest]:
    """Turn a cluster's list into rows; without the token's rights nothing is said of them."""
    return [_guest(one, rights) for one in inventory.vms]


def _guest(one: InventoryVm, rights: TokenRights | None) -> Guest:
    return Guest(
        vmid=one.vmid,
        node=one.node,
        name=one.name,
        kind=one.kind.value,
        state=one.status.value,
        template=one.template,
        ha_state=one.ha_state,
        may_reset=None if rights is None else rights.allows(POWER, one.vmid),
    )
