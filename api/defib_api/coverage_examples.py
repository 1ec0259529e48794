"""Example for the OpenAPI, of what is not covered. A test holds it to the schema."""

from typing import Any

COVERAGE: dict[str, Any] = {
    "takenAt": "2024-01-01T12:00:00Z",
    "agentless": [
        {
            "cluster": "default",
            "node": "pve-node-1",
            "vmid": "140",
            "name": "build-07",
            "state": "running",
        }
    ],
    "unknownAgents": [
        {
            "vmId": "vm_123",
            "hostname": "old-mail",
            "cluster": "default",
            "vmid": "177",
            "reason": "VMNotFound",
            "message": "Proxmox lists no VM 177: it is gone, the agent's vmid is wrong, or the"
            " token lacks VM.Audit on /vms/177",
            "lastHeartbeat": "2024-01-01T11:59:40Z",
        }
    ],
    "notResettable": [
        {
            "vmId": "vm_124",
            "hostname": "web-server-02",
            "cluster": "default",
            "node": "pve-node-1",
            "reason": "ProxmoxForbidden",
            "message": "the token may not reset it: grant VM.PowerMgmt on /vms/101",
        }
    ],
    "clusters": [{"cluster": "default", "readAt": "2024-01-01T11:59:55Z"}],
    "counts": {"agentless": 1, "unknownAgents": 1, "notResettable": 1, "inventory": 42},
}
