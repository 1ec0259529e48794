"""Requests as bytes, rendered before anything is measured.

The reports say what the Linux agent says. Each is of a VM of `fleet.py`, healthy, so that storing
one is what it is nearly always: no change of state.
"""

import json
import random
from collections.abc import Sequence

from defib_core.store.tokens import digest
from defib_dev.bench import fleet

REPORT_PATH, BATCH_PATH = "/api/health/report", "/api/health/reports"
RELAYED_AGE = 1.0
"""How old a report is that comes through a relay, in seconds: it forwards once a second."""
SHUFFLED_BY = 20_261_124
"""Reports come in no order; the same one in every run."""


def shuffled(vms: int) -> list[int]:
    """The numbers of the VMs, in an order that has nothing to do with the database's."""
    numbers = list(range(vms))
    random.Random(SHUFFLED_BY).shuffle(numbers)  # noqa: S311 - no secret depends on it
    return numbers


def report(number: int, key: str) -> bytes:
    """The report of the VM of that number."""
    return _post(REPORT_PATH, f"X-API-Key: {key}", body_of(number))


def batch(numbers: Sequence[int], token: str, key: str) -> bytes:
    """The reports of VMs as a relay forwards them, each under the key that its agent has."""
    beside = {"ageSeconds": RELAYED_AGE, "keyDigest": digest(key).hex()}
    reports = [body_of(number) | beside for number in numbers]
    return _post(BATCH_PATH, f"X-Relay-Token: {token}", {"reports": reports})


def batch_answer(reports: int) -> bytes:
    """What is answered to a batch all of which was stored."""
    said = {"success": True, "accepted": reports, "rejected": []}
    return json.dumps(said, separators=(",", ":")).encode()


def _post(path: str, key_header: str, content: object) -> bytes:
    body = json.dumps(content, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: defib\r\nUser-Agent: defib-bench\r\n"
        f"Accept: */*\r\nContent-Type: application/json\r\n{key_header}\r\n"
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
