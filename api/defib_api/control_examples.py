"""Examples of what people set, for the OpenAPI. A test holds them to the schemas."""

from typing import Any

PAUSED: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "web-server-01 is paused until 2024-01-01T14:00:00Z. Its state still moves; when the"
    " pause ends, its clock starts anew: it may be reset after one more full stale timeout of"
    " silence",
}
UNPAUSED: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "The pause of web-server-01 has ended; its clock starts anew: it may be reset after"
    " one more full stale timeout of silence",
}
CLEARED: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "web-server-01 is cleared: 3 attempts were counted, 0 are now; its clock starts"
    " anew: it may be reset after one more full stale timeout of silence",
}
IN_SPEC: dict[str, Any] = {
    "success": False,
    "message": "web-server-01 is paused by its VirtualMachine (Kim: disk swap): remove spec.paused"
    " of defib/web-server-01 to end it",
    "reason": "PausedInSpec",
}
WINDOW: dict[str, Any] = {
    "id": "maintenance_6",
    "name": "firmware-r7",
    "matchLabels": {"topology.example.com/rack": "r7"},
    "from": "2024-01-01T22:00:00Z",
    "until": "2024-01-02T02:00:00Z",
    "reason": "Kim: firmware of r7, CHG-1077",
    "createdBy": "kim",
    "systemConfig": None,
    "active": False,
    "vms": 12,
}
OPENED: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "firmware-r7: 12 VMs are in maintenance from 2024-01-01T22:00:00Z until"
    " 2024-01-02T02:00:00Z. After it each has one more full stale timeout.",
    "id": "maintenance_6",
    "name": "firmware-r7",
    "vms": 12,
}
WINDOW_ENDED: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "The maintenance firmware-r7 has ended; for its 12 VMs the clock starts anew: each"
    " has one more full stale timeout",
}
STOPPED: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "Everything is stopped: nothing is reset, by nobody, until somebody ends the stop.",
}
STOP_ENDED: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "The stop has ended; every VM has one more full stale timeout before it may be"
    " reset",
}
STOP_STATE: dict[str, Any] = {
    "stopped": True,
    "stops": [
        {
            "reason": "Kim: storage is failing everywhere",
            "by": "kim",
            "since": "2024-01-01T12:00:00Z",
            "systemConfig": None,
        }
    ],
}
AUDIT: dict[str, Any] = {
    "id": "audit_78",
    "timestamp": "2024-01-01T12:00:00Z",
    "actor": "kim",
    "source": "cli",
    "action": "Pause",
    "vmId": "vm_123",
    "hostname": "web-server-01",
    "reason": "Kim: disk swap",
    "detail": {"reason": "Kim: disk swap", "until": "2024-01-01T14:00:00+00:00"},
}
EXPLANATION: dict[str, Any] = {
    "id": "vm_123",
    "hostname": "web-server-01",
    "timestamp": "2024-01-01T12:12:34Z",
    "state": "down",
    "stateSince": "2024-01-01T12:05:08Z",
    "warnings": [],
    "verdict": {
        "kind": "held",
        "reason": "VMLocked",
        "message": "it is locked in Proxmox (backup)",
        "since": "2024-01-01T12:05:18Z",
    },
    "clocks": {
        "lastHeartbeat": "2024-01-01T12:00:00Z",
        "countsFrom": "2024-01-01T12:00:00Z",
        "countsFromWhy": "its heartbeat",
        "silenceSeconds": 754.0,
        "staleTimeoutSeconds": 300.0,
        "runsOutAt": "2024-01-01T12:05:00Z",
        "floors": [],
    },
    "needed": [
        "VMLocked: its lock in Proxmox is released, as when the backup ends",
        "its QEMU guest agent does not answer",
        "its disks and network are still over 30 s",
    ],
    "checks": [
        {
            "group": 1,
            "reason": "GlobalStop",
            "status": "passed",
            "message": "nothing is stopped",
        },
        {
            "group": 4,
            "reason": "VMLocked",
            "status": "holds",
            "message": "it is locked in Proxmox (backup)",
        },
        {
            "group": 5,
            "reason": "GuestAgentAlive",
            "status": "not_asked",
            "message": "asked when nothing before it holds",
        },
    ],
    "attempts": {
        "used": 1,
        "allowed": 3,
        "left": 2,
        "lastAt": "2024-01-01T11:00:00Z",
        "nextNotBefore": "2024-01-01T11:05:00Z",
        "pending": False,
    },
    "inForce": [
        {
            "reason": "Maintenance",
            "message": "firmware-r7: Kim: firmware of r7, CHG-1077",
            "since": "2024-01-01T22:00:00Z",
            "until": "2024-01-02T02:00:00Z",
        }
    ],
    "decisions": [
        {
            "at": "2024-01-01T12:05:18Z",
            "kind": "hold",
            "message": "not reset (still): VMLocked, it is locked in Proxmox (backup)",
            "until": None,
            "detail": {},
        },
        {
            "at": "2024-01-01T12:05:08Z",
            "kind": "transition",
            "message": "healthy -> down: HeartbeatMissing",
            "until": None,
            "detail": {},
        },
    ],
    "text": "web-server-01 is down since 2024-01-01T12:05:08Z (7 m 26 s ago)\n"
    "VMLocked: it is locked in Proxmox (backup) (since 2024-01-01T12:05:18Z (7 m 16 s ago))\n",
}
