"""Every endpoint of the seed, to its exact JSON."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from support.running_api import SEED_REPORT, RunningApi
from support.waiting import eventually_async

SECOND = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


def is_recent(moment: str) -> bool:
    """Written as in the seed, and within the last minute."""
    assert SECOND.match(moment), moment
    age = datetime.now(UTC) - datetime.fromisoformat(moment)
    return timedelta(seconds=-2) < age < timedelta(minutes=1)


def part_of(whole: Mapping[str, Any], seed: Mapping[str, Any]) -> dict[str, Any]:
    """The seed's fields out of an answer that has more."""
    assert seed.keys() <= whole.keys(), seed.keys() - whole.keys()
    return {name: whole[name] for name in seed}


async def listed(api: RunningApi, vmid: str) -> dict[str, Any]:
    """A VM out of /api/vms, once the cached list has it."""

    async def find() -> dict[str, Any] | None:
        vms = (await api.get("/api/vms")).json()
        return next((vm for vm in vms if vm["vmid"] == vmid), None)

    found = await eventually_async(find, what=f"VM {vmid} is listed")
    assert found is not None
    return found


async def test_a_report_is_answered_with_the_seeds_words(api: RunningApi) -> None:
    answer = await api.report()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "success": True,
        "message": "Health report received for web-server-01",
    }


async def test_a_vm_has_the_seeds_fields(api: RunningApi) -> None:
    await api.report()
    vm = await listed(api, "100")
    seed = {
        "id": "vm_1",
        "hostname": "web-server-01",
        "vmid": "100",
        "status": "running",
        "health": "healthy",
        "cpuUsage": 45.2,
        "ramUsage": 2048,
        "ramTotal": 4096,
        "ramPercent": 50.0,
        "lastHeartbeat": vm["lastHeartbeat"],
        "isDown": False,
        "isWarning": False,
    }
    assert part_of(vm, seed) == seed
    assert is_recent(vm["lastHeartbeat"])
    assert (await api.get("/api/vms/vm_1")).json() == vm


async def test_a_vm_has_the_fields_the_design_adds(api: RunningApi) -> None:
    await api.report()
    vm = (await api.get("/api/vms/vm_1")).json()
    added = {
        "state": "healthy",
        "node": "pve-node-1",
        "cluster": "default",
        "namespace": None,
        "name": None,
        "labels": {},
        "diskUsage": 50000,
        "diskTotal": 100000,
        "diskPercent": 50.0,
        "uptime": 3600,
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
    }
    assert part_of(vm, added) == added


async def test_high_cpu_is_a_warning(api: RunningApi) -> None:
    await api.report(cpuUsage=80.1)
    vm = (await api.get("/api/vms/vm_1")).json()
    assert (vm["health"], vm["isWarning"], vm["isDown"]) == ("warning", True, False)


async def test_high_ram_is_a_warning(api: RunningApi) -> None:
    await api.report(ramUsage=3687)
    vm = (await api.get("/api/vms/vm_1")).json()
    assert (vm["health"], vm["isWarning"], vm["ramPercent"]) == ("warning", True, 90.0)


async def test_a_threshold_reached_is_not_exceeded(api: RunningApi) -> None:
    await api.report(cpuUsage=80, ramUsage=3600, ramTotal=4000)
    vm = (await api.get("/api/vms/vm_1")).json()
    assert (vm["health"], vm["ramPercent"]) == ("healthy", 90.0)


async def test_a_report_heals_a_vm_that_was_down(api: RunningApi) -> None:
    await api.report()
    await api.sql("UPDATE vm_state SET state = 'down'")
    down = (await api.get("/api/vms/vm_1")).json()
    assert (down["health"], down["isDown"], down["isWarning"]) == ("down", True, False)
    await api.report()
    healed = (await api.get("/api/vms/vm_1")).json()
    assert (healed["health"], healed["isDown"]) == ("healthy", False)


async def test_reset_failed_shows_as_down(api: RunningApi) -> None:
    await api.report()
    await api.sql("UPDATE vm_state SET state = 'reset_failed'")
    vm = (await api.get("/api/vms/vm_1")).json()
    assert (vm["health"], vm["state"], vm["isDown"]) == ("down", "reset_failed", True)


async def test_status_counts_as_in_the_seed(api: RunningApi) -> None:
    for vmid in range(100, 110):
        await api.report(vmid=vmid, cpuUsage=90 if vmid == 108 else 10)
    await api.sql("UPDATE vm_state SET state = 'reset_failed' WHERE vm_id = 10")

    async def counted() -> dict[str, Any] | None:
        status: dict[str, Any] = (await api.get("/api/status")).json()
        return status if status["vms"]["resetFailed"] == 1 else None

    status = await eventually_async(counted, what="the cached counts have the change")
    assert status is not None
    assert status == {
        "timestamp": status["timestamp"],
        "vms": {
            "total": 10,
            "healthy": 8,
            "warning": 1,
            "down": 1,
            "unknown": 0,
            "resetFailed": 1,
        },
        "config": {
            "staleTimeoutMs": 300000,
            "cpuThreshold": 80,
            "ramThreshold": 90,
            "autoResetEnabled": True,
        },
    }
    assert is_recent(status["timestamp"])
    assert '"cpuThreshold":80,' in (await api.get("/api/status")).text


async def test_metrics_are_the_seeds_array_oldest_first(api: RunningApi) -> None:
    await api.report(uptime=3600)
    await api.report(uptime=3630, cpuUsage=46.5)
    answer = await api.get("/api/vms/vm_1/metrics", hours=24)
    points = answer.json()
    assert [point["uptime"] for point in points] == [3600, 3630]
    assert points[0] == {
        "timestamp": points[0]["timestamp"],
        "cpuUsage": 45.2,
        "ramUsage": 2048,
        "ramTotal": 4096,
        "diskUsage": 50000,
        "diskTotal": 100000,
        "uptime": 3600,
    }
    assert is_recent(points[0]["timestamp"])


async def test_metrics_reach_back_as_far_as_asked(api: RunningApi) -> None:
    await api.report(uptime=7)
    await api.report(uptime=8)
    await api.sql(
        "UPDATE vm_metric SET at = at - interval '2 hours' WHERE uptime = 7",
    )
    one_hour = (await api.get("/api/vms/vm_1/metrics", hours=1)).json()
    three_hours = (await api.get("/api/vms/vm_1/metrics", hours=3)).json()
    assert [point["uptime"] for point in one_hour] == [8]
    assert [point["uptime"] for point in three_hours] == [7, 8]


async def test_a_long_span_is_answered_in_means(api: RunningApi) -> None:
    await api.report()
    for hours, resolution in ((6, "raw"), (7, "5m"), (168, "5m"), (169, "1h"), (9600, "1h")):
        answer = await api.get("/api/vms/vm_1/metrics", hours=hours)
        assert (answer.status_code, answer.headers["x-defib-resolution"]) == (200, resolution)


async def test_a_vm_without_resets_has_an_empty_history(api: RunningApi) -> None:
    await api.report()
    answer = await api.get("/api/vms/vm_1/reset-history")
    assert (answer.status_code, answer.json()) == (200, [])


async def test_the_reset_history_has_the_seeds_fields_newest_first(api: RunningApi) -> None:
    await api.report()
    await api.sql(
        "INSERT INTO reset_history (vm_id, phase, action, source, actor, reason, attempt, node,"
        " upid, proxmox_response, requested_at, sent_at, finished_at, recovered_at)"
        " VALUES (1, 'succeeded', 'Reset', 'auto', 'defib-operator', 'Auto-reset: stale VM', 1,"
        " 'pve-node-1', 'UPID:x', '{\"exitstatus\": \"OK\"}', '2024-01-01T11:00:00Z',"
        " '2024-01-01T11:00:01Z', '2024-01-01T11:00:02Z', '2024-01-01T11:01:00Z')"
    )
    await api.sql(
        "INSERT INTO reset_history (vm_id, phase, action, source, actor, reason, attempt, error,"
        " requested_at, sent_at, finished_at)"
        " VALUES (1, 'failed', 'Reset', 'dashboard', 'alice', 'Manual', 2, 'VM is locked (backup)',"
        " '2024-01-01T12:00:00Z', '2024-01-01T12:00:01Z', '2024-01-01T12:00:02Z')"
    )
    failed, succeeded = (await api.get("/api/vms/vm_1/reset-history")).json()
    assert succeeded == {
        "timestamp": "2024-01-01T11:00:00Z",
        "reason": "Auto-reset: stale VM",
        "success": True,
        "id": "reset_1",
        "phase": "succeeded",
        "action": "Reset",
        "attempt": 1,
        "actor": "defib-operator",
        "source": "auto",
        "node": "pve-node-1",
        "upid": "UPID:x",
        "proxmoxResponse": {"exitstatus": "OK"},
        "error": None,
        "cancelledBy": None,
        "sentAt": "2024-01-01T11:00:01Z",
        "finishedAt": "2024-01-01T11:00:02Z",
        "recoveredAt": "2024-01-01T11:01:00Z",
    }
    seed = {"timestamp": "2024-01-01T12:00:00Z", "reason": "Manual", "success": False}
    assert part_of(failed, seed) == seed
    assert failed["error"] == "VM is locked (backup)"
    assert (await api.get("/api/resets/reset_1")).json() == succeeded


async def test_success_is_true_false_or_not_known(api: RunningApi) -> None:
    await api.report()
    verdicts = {
        "succeeded": True,
        "failed": False,
        "cancelled": False,
        "unknown": None,
        "dry_run": None,
        "requested": None,
    }
    for phase in verdicts:
        finished = "NULL" if phase == "requested" else "now()"
        cancelled = "'Paused'" if phase == "cancelled" else "NULL"
        await api.sql(
            "INSERT INTO reset_history (vm_id, phase, action, source, actor, reason, attempt,"
            " requested_at, sent_at, finished_at, cancelled_by)"
            f" VALUES (1, '{phase}', 'Reset', 'auto', 'x', 'x', 1, now(), now(), {finished},"
            f" {cancelled})"
        )
    history = (await api.get("/api/vms/vm_1/reset-history")).json()
    assert {line["phase"]: line["success"] for line in history} == verdicts


async def test_the_report_of_the_seed_is_stored_whole(api: RunningApi) -> None:
    await api.report(bootId="b1", agentVersion="0.1.0")
    stored = await api.sql(
        "SELECT v.hostname, v.node, v.agent_version, s.status, s.cpu, s.ram, s.ram_total, s.disk,"
        " s.disk_total FROM vm v JOIN vm_state s ON s.vm_id = v.id"
    )
    assert stored == [
        ("web-server-01", "pve-node-1", "0.1.0", "running", 45.2, 2048, 4096, 50000, 100000)
    ]
    stored = await api.sql(
        "SELECT v.vmid, s.uptime, s.boot_id, extract(epoch FROM s.agent_time)::bigint, s.reports"
        " FROM vm v JOIN vm_state s ON s.vm_id = v.id"
    )
    assert stored == [(100, 3600, "b1", SEED_REPORT["timestamp"], 1)]
