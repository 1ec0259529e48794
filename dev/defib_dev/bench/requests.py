"""Requests as bytes, rendered before anything is measured.

The reports say what the Linux agent says. Each is of a VM of `fleet.py`, healthy, so that storing
one is what it is nearly always: no change of state.
"""

import json
import random

from defib_dev.bench import fleet

REPORT_PATH = "/api/health/report"
SHUFFLED_BY = 20_261_124
"""Reports come in no order; the same one in every run."""


def shuffled(vms: int) -> list[int]:
    """The numbers of the VMs, in an order that has nothing to do with the database's."""
    numbers = list(range(vms))
    random.Random(SHUFFLED_BY).shuffle(numbers)  # noqa: S311 - no secret depends on it
    return numbers


def report(number: int, key: str) -> bytes:
    """The report of the VM of that number."""
    body = json.dumps(body_of(number), separators=(",", ":")).encode()
    head = (
        f"POST {REPORT_PATH} HTTP/1.1\r\nHost: defib\r\nUser-Agent: defib-bench\r\n"
        f"Accept: */*\r\nContent-Type: application/json\r\nX-API-Key: {key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def body_of(number: int) -> dict[str, object]:
    """What the VM's agent says."""
    return {
        "hostname": fleet.hostname_of(number),
        "vmid": fleet.vmid_of(number),
        "node": fleet.node_of(number),
        "status": "running",
        "cpuUsage": 5 + number % 60 + 0.25,
        "ramUsage": 1024 + number % 1024,
        "ramTotal": 4096,
        "diskUsage": 20_000 + number % 10_000,
        "diskTotal": 100_000,
        "uptime": 86_400 + number,
        "timestamp": 1_795_500_000 + number % 30,
        "bootId": f"boot-{number}",
        "agentVersion": fleet.AGENT_VERSION,
    }


def read(path: str, token: str) -> bytes:
    """A read by an administrator."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: defib\r\nUser-Agent: defib-bench\r\n"
        f"Accept: application/json\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
