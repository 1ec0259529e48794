"""Rows of Proxmox's list, as the operator keeps them."""

from typing import Any

from defib_core.store.inventory import Guest


def guest(vmid: int, **changes: Any) -> Guest:  # noqa: ANN401 - any field
    """A running QEMU guest on pve1 that may be reset; `changes` say what is different."""
    given: dict[str, Any] = {
        "node": "pve1",
        "name": f"web-{vmid}",
        "kind": "qemu",
        "state": "running",
        "template": False,
        "ha_state": None,
        "may_reset": True,
    }
    return Guest(vmid=vmid, **{**given, **changes})
