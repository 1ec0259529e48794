"""Examples for the OpenAPI, of the fleet from afar. A test holds them to the schemas."""

from typing import Any

from defib_api import examples

PAGE: dict[str, Any] = {
    "items": [examples.VM],
    "nextCursor": "WyJoZWFsdGgiLDQsIndlYiJd",
    "total": 1,
}
FLEET: dict[str, Any] = {
    "version": 4711,
    "takenAt": "2024-01-01T12:00:00Z",
    "nodes": [{"cluster": "default", "node": "pve-node-1"}],
    "ids": [123, 124],
    "hostnames": ["web-server-01", "web-server-02"],
    "node": [0, 0],
    "states": "hd",
    "flags": [0, 4],
}
SPARKLINES: dict[str, Any] = {
    "since": "2024-01-01T11:05:00Z",
    "stepSeconds": 300,
    "lines": [{"id": "vm_123", "cpu": [12.5, None, 14.1], "ram": [50.0, None, 51.2]}],
}
NODE: dict[str, Any] = {
    "cluster": "default",
    "node": "pve-node-1",
    "online": True,
    "total": 2,
    "healthy": 1,
    "warning": 0,
    "down": 1,
    "unknown": 0,
    "resetFailed": 0,
}
LABEL: dict[str, Any] = {"key": "team", "values": ["shop", "search"]}
TRANSITION: dict[str, Any] = {
    "at": "2024-01-01T11:05:00Z",
    "from": "healthy",
    "to": "down",
    "reason": "HeartbeatMissing",
}
HOLD: dict[str, Any] = {
    "reason": "VMLocked",
    "message": "a backup of VM 100 is running (lock: backup)",
    "startedAt": "2024-01-01T11:05:00Z",
    "endedAt": None,
}
SYSTEM: dict[str, Any] = {
    "timestamp": "2024-01-01T12:00:00Z",
    "version": "0.1.0",
    "ingest": {
        "live": True,
        "blindSince": None,
        "replicas": [
            {
                "name": "defib-api-0:3000:1",
                "startedAt": "2024-01-01T09:00:00Z",
                "provedAt": "2024-01-01T12:00:00Z",
                "live": True,
            }
        ],
    },
    "relays": [
        {
            "name": "berlin",
            "cluster": "default",
            "provedAt": "2024-01-01T12:00:00Z",
            "live": True,
            "waiting": 0,
            "lost": 0,
            "version": "0.1.0",
        }
    ],
    "operator": {
        "leader": "defib-operator-0",
        "lastSweep": "2024-01-01T11:59:54Z",
        "sweepAgeSeconds": 6.2,
        "kubernetesHeardAt": "2024-01-01T11:59:59Z",
        "statusesWaiting": 0,
    },
    "clusters": [
        {
            "name": "default",
            "namespace": "defib",
            "reachable": True,
            "version": "8.4.1",
            "quorate": True,
            "message": None,
            "invalid": None,
            "checkedAt": "2024-01-01T11:59:55Z",
            "tokenMissing": [],
            "nodes": [{"name": "pve-node-1", "online": True}],
        }
    ],
    "holds": [{"reason": "NodeBrake", "count": 12, "alerting": 0}],
    "brakes": [
        {
            "reason": "NodeBrake",
            "kind": "node",
            "scope": "default/pve-node-2",
            "message": "more than half of the VMs on this node are silent",
            "since": "2024-01-01T11:58:00Z",
            "vms": 12,
        }
    ],
    "globalStop": None,
    "intents": {"requested": 0, "sending": 0, "sent": 1},
    "reportsWaiting": 3,
    "redis": "ok",
}
CONFIG: dict[str, Any] = {
    "name": "default",
    "namespace": "defib",
    "source": "SystemConfig",
    "generation": 4,
    "spec": {"staleTimeoutMs": 300000, "cpuThreshold": 80, "ramThreshold": 90},
    "invalid": None,
    "inForceSince": "2024-01-01T09:00:00Z",
    "vms": 10,
}
EVENTS = (
    "event: snapshot\nid: 4711\n"
    'data: {"version":4711,"vms":{"total":2,"healthy":2,"warning":0,"down":0,"unknown":0,'
    '"resetFailed":0}}\n\n'
    "event: change\nid: 4712\n"
    'data: {"changes":[{"id":"vm_123","hostname":"web-server-01","node":"pve-node-1",'
    '"state":"down","health":"down","resetPending":false,"at":"2024-01-01T12:00:00Z",'
    '"reason":"HeartbeatMissing"}],"vms":{"total":2,"healthy":1,"warning":0,"down":1,"unknown":0,'
    '"resetFailed":0}}\n\n'
)
