"""Examples for the OpenAPI, in the contract's own values. A test holds them to the schemas."""

from typing import Any

REPORT: dict[str, Any] = {
    "hostname": "web-server-01",
    "vmid": "100",
    "node": "pve-node-1",
    "status": "running",
    "cpuUsage": 45.2,
    "ramUsage": 2048,
    "ramTotal": 4096,
    "diskUsage": 50000,
    "diskTotal": 100000,
    "uptime": 3600,
    "timestamp": 1672531200,
}
BATCH: dict[str, Any] = {
    "reports": [{**REPORT, "ageSeconds": 0}, {**REPORT, "ageSeconds": 61.5, "uptime": 3538}]
}
BATCH_RECEIVED = {
    "success": True,
    "accepted": 1,
    "rejected": [
        {
            "index": 1,
            "status": 400,
            "message": "the report was refused: cpuUsage must be a number from 0 to 100 (percent);"
            " got 900",
        }
    ],
}
RECEIVED = {"success": True, "message": "Health report received for web-server-01"}

VM: dict[str, Any] = {
    "id": "vm_123",
    "hostname": "web-server-01",
    "vmid": "100",
    "status": "running",
    "health": "healthy",
    "state": "healthy",
    "stateSince": "2024-01-01T09:30:00Z",
    "cpuUsage": 45.2,
    "ramUsage": 2048,
    "ramTotal": 4096,
    "ramPercent": 50.0,
    "diskUsage": 50000,
    "diskTotal": 100000,
    "diskPercent": 50.0,
    "worstDiskMount": "/var",
    "worstDiskPercent": 71.5,
    "uptime": 3600,
    "lastHeartbeat": "2024-01-01T12:00:00Z",
    "isDown": False,
    "isWarning": False,
    "cluster": "default",
    "node": "pve-node-1",
    "namespace": "defib",
    "name": "web-server-01",
    "labels": {"team": "shop"},
    "resetAttempts": 0,
    "maxResetAttempts": 3,
    "resetPending": False,
    "lastReset": None,
    "holdReason": None,
    "holdMessage": None,
    "holdSince": None,
    "paused": False,
    "pausedReason": None,
    "pausedUntil": None,
    "removedAt": None,
    "cloneSuspected": False,
}
METRIC: dict[str, Any] = {
    "timestamp": "2024-01-01T12:00:00Z",
    "cpuUsage": 45.2,
    "ramUsage": 2048,
    "ramTotal": 4096,
    "diskUsage": 50000,
    "diskTotal": 100000,
    "uptime": 3600,
}
STATUS: dict[str, Any] = {
    "timestamp": "2024-01-01T12:00:00Z",
    "vms": {
        "total": 10,
        "healthy": 8,
        "warning": 1,
        "down": 1,
        "unknown": 0,
        "resetFailed": 0,
    },
    "config": {
        "staleTimeoutMs": 300000,
        "cpuThreshold": 80,
        "ramThreshold": 90,
        "autoResetEnabled": True,
    },
}
RESET: dict[str, Any] = {
    "timestamp": "2024-01-01T11:00:00Z",
    "reason": "Auto-reset: stale VM",
    "success": True,
    "id": "reset_45",
    "phase": "succeeded",
    "action": "Reset",
    "attempt": 1,
    "actor": "defib-operator",
    "source": "auto",
    "node": "pve-node-1",
    "upid": "UPID:pve-node-1:000A1B2C:00D3E4F5:65929A30:qmreset:100:defib@pve!operator:",
    "proxmoxResponse": {"status": 200, "exitstatus": "OK"},
    "error": None,
    "cancelledBy": None,
    "sentAt": "2024-01-01T11:00:01Z",
    "finishedAt": "2024-01-01T11:00:02Z",
    "recoveredAt": "2024-01-01T11:00:58Z",
}
ASKED: dict[str, Any] = {"reason": "Manual reset via dashboard"}
SENT: dict[str, Any] = {
    "success": True,
    "message": "Reset command sent to web-server-01",
    "resetAttempts": 1,
}
UNDER_WAY: dict[str, Any] = {
    "success": None,
    "message": "The reset of web-server-01 is under way; look again at /api/resets/reset_45",
    "resetId": "reset_45",
    "href": "/api/resets/reset_45",
}

INVALID: dict[str, Any] = {
    "success": False,
    "message": "the request was refused: cpuUsage must be a number from 0 to 100 (percent)",
    "errors": [
        {"field": "cpuUsage", "message": "must be a number from 0 to 100 (percent); got 900"}
    ],
}
NOT_SIGNED_IN = {"success": False, "message": "the token is unknown, expired or revoked"}
NO_VM = {"success": False, "message": "there is no VM 'vm_9'; ids look like vm_123, see /api/vms"}
TOO_SLOW = {"success": False, "message": "the body did not come within 10 s; send it again"}
TOO_LARGE = {"success": False, "message": "the body is larger than 16384 bytes"}
NOT_JSON = {"success": False, "message": "send JSON, with Content-Type: application/json"}
TOO_MANY = {"success": False, "message": "this VM has several reports waiting already"}
HELD: dict[str, Any] = {
    "success": False,
    "message": "web-server-01 was not reset: a backup of VM 100 is running (lock: backup)",
    "reason": "VMLocked",
    "resetId": "reset_45",
}
BROKEN = {
    "success": False,
    "message": "an error on our side; request 3f2a9c1b7d4e5f60 in the API's log says more",
    "requestId": "3f2a9c1b7d4e5f60",
}
RESET_FAILED: dict[str, Any] = {
    "success": False,
    "message": "Proxmox did not reset web-server-01: VM is locked (migrate)",
    "proxmoxError": "VM is locked (migrate)",
    "resetId": "reset_45",
}
AWAY = {"success": False, "message": "the database cannot be reached now; try again"}
READY: dict[str, Any] = {
    "ready": True,
    "checks": {
        "database": {"status": "ok", "since": None, "message": None},
        "ingest": {"status": "ok", "since": None, "message": None},
        "setup": {"status": "ok", "since": None, "message": None},
        "redis": {
            "status": "degraded",
            "since": "2024-01-01T12:00:00Z",
            "message": "Connection refused",
        },
    },
}
NOT_READY: dict[str, Any] = {
    "ready": False,
    "checks": {
        **READY["checks"],
        "database": {
            "status": "down",
            "since": "2024-01-01T12:00:00Z",
            "message": "connection refused",
        },
    },
}
ALIVE = {"alive": True}

INSTALL = {
    "server": "https://defib.example.com",
    "placeholder": "ENROLMENT_TOKEN",
    "linux": "printf 'X-Enrolment-Token: %s\\n' ENROLMENT_TOKEN | curl -fsS -H @-"
    " https://defib.example.com/install.sh | sudo sh",
    "linuxDryRun": "printf 'X-Enrolment-Token: %s\\n' ENROLMENT_TOKEN | curl -fsS -H @-"
    " https://defib.example.com/install.sh | sudo sh -s -- --dry-run",
    "linuxUpgrade": "curl -fsS https://defib.example.com/install.sh | sudo sh -s -- --upgrade",
    "linuxUninstall": "curl -fsS https://defib.example.com/install.sh | sudo sh -s -- --uninstall",
    "windows": "& ([scriptblock]::Create((Invoke-RestMethod -UseBasicParsing -Headers"
    " @{'X-Enrolment-Token' = 'ENROLMENT_TOKEN'} https://defib.example.com/install.ps1)))",
    "windowsDryRun": "& ([scriptblock]::Create((Invoke-RestMethod -UseBasicParsing -Headers"
    " @{'X-Enrolment-Token' = 'ENROLMENT_TOKEN'} https://defib.example.com/install.ps1))) -DryRun",
    "windowsUninstall": "& ([scriptblock]::Create((Invoke-RestMethod -UseBasicParsing"
    " https://defib.example.com/install.ps1))) -Uninstall",
    "cloudInit": "#cloud-config\n...",
    "ansible": "- name: Defib's agent\n...",
    "agentSha256": "0" * 64,
    "windowsAgentSha256": "0" * 64,
}
