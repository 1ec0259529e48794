"""Examples of enrolment and agents' tokens, for the OpenAPI. A test holds them to the schemas."""

from typing import Any

ENROL_REQUEST: dict[str, Any] = {
    "hostname": "web-server-01",
    "vmid": "100",
    "smbiosUuid": "4c4c4544-0042-4b10-8057-b6c04f4d3432",
    "node": "pve-node-1",
    "agentVersion": "1.0.0",
}
ENROLLED: dict[str, Any] = {
    "success": True,
    "token": "defib_agent_3k2b...",
    "tokenId": "agent_token_7",
    "vmId": "vm_123",
    "cluster": "default",
    "vmid": "100",
    "node": "pve-node-1",
    "reportIntervalSeconds": 30,
}
ENROLMENT: dict[str, Any] = {
    "id": "enrolment_9",
    "name": "rack-7",
    "cluster": "default",
    "vmidFrom": 100,
    "vmidTo": 199,
    "matchLabels": {},
    "uses": 3,
    "usesMost": 100,
    "createdBy": "kim",
    "createdAt": "2024-01-01T12:00:00Z",
    "expiresAt": "2024-01-01T13:00:00Z",
}
ENROLMENT_MADE: dict[str, Any] = {
    "success": True,
    "message": "rack-7 lets in 100 machines until 2024-01-01T13:00:00Z. It is shown this once.",
    "id": "enrolment_9",
    "token": "defib_enrol_9f1c...",
    "expiresAt": "2024-01-01T13:00:00Z",
}
ENROLMENT_REVOKED: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "rack-7 is revoked; the machines it let in go on with their tokens",
}
AGENT_TOKEN: dict[str, Any] = {
    "id": "agent_token_7",
    "kind": "vm",
    "name": "web-server-01",
    "cluster": "default",
    "vmId": "vm_123",
    "vmid": "100",
    "hostname": "web-server-01",
    "smbiosUuid": "4c4c4544-0042-4b10-8057-b6c04f4d3432",
    "createdBy": "enrolment token rack-7",
    "createdAt": "2024-01-01T12:00:00Z",
    "expiresAt": None,
    "lastHeartbeat": "2024-01-01T12:30:00Z",
}
ROTATED: dict[str, Any] = {
    "success": True,
    "message": "This is the next token, shown this once; the one before goes on until"
    " 2024-01-01T13:00:00Z",
    "id": "agent_token_8",
    "token": "defib_agent_x81v...",
    "oldExpiresAt": "2024-01-01T13:00:00Z",
}
TOKEN_REVOKED: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "the token of web-server-01 is revoked: within seconds its reports are refused,"
    " which shows that the VM is alive, but keeps it from being reset while its agent goes on",
}
TAKEN: dict[str, Any] = {
    "success": False,
    "message": "VM 100 holds a token, and a machine reports with it now; if that is this one, or"
    " gone for good, have an administrator revoke it: defib token revoke agent_token_7",
}
OUTSIDE: dict[str, Any] = {
    "success": False,
    "message": "the enrolment token rack-7 is for VMs 100 to 199, not for VM 205",
}
