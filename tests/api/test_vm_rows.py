"""A VM as PostgreSQL writes it: as the schema says, and the same wherever it is shown."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from defib_api.schemas.vms import Metric, Vm
from support.running_api import RunningApi, running_api

ODD = 'we\\ird "näme"\t\u0001\U0001f984 </script>'
UPDATES: Sequence[str] = (
    "UPDATE vm_state SET disk = 0, disk_total = 0 WHERE vm_id = 1",
    "UPDATE vm_state SET state = 'down', state_since = '2024-01-01T00:00:00.999Z' WHERE vm_id = 2",
    (
        "INSERT INTO hold (vm_id, reason, message, started_at)"
        " VALUES (2, 'VMLocked', 'it is locked', '2024-01-01T00:00:01Z')"
    ),
    (
        "UPDATE vm_state SET state = 'reset_failed', reset_attempts = 3, reset_pending = true,"
        " last_attempt_at = '2024-02-29T23:59:59.5+02' WHERE vm_id = 3"
    ),
    "UPDATE vm SET paused_reason = 'patching', paused_until = '9999-12-31T00:00:00Z' WHERE id = 3",
    "UPDATE vm SET paused_reason = 'over', paused_until = '2024-01-01T00:00:00Z' WHERE id = 4",
    """UPDATE vm SET labels = '{"team": "shop", "": ""}' WHERE id = 4""",
    "UPDATE vm SET namespace = 'defib', name = 'web', uid = 'u' WHERE id = 4",
    "UPDATE vm SET tombstoned_at = '2024-01-01T00:00:00Z' WHERE id = 2",
)
NEVER_HEARD_OF = """
INSERT INTO vm (cluster_id, vmid, hostname, registered_by, config_id)
SELECT cluster_id, 999, 'never', 'manifest', config_id FROM vm WHERE id = 1
"""
ITS_STATE = """
INSERT INTO vm_state (vm_id, config_id, stale_timeout, cpu_threshold, ram_threshold, max_attempts)
SELECT v.id, s.config_id, s.stale_timeout, s.cpu_threshold, s.ram_threshold, s.max_attempts
FROM vm v, vm_state s WHERE v.vmid = 999 AND s.vm_id = 1
"""


@pytest.fixture
async def odd_fleet(database_url: str) -> AsyncIterator[RunningApi]:
    """VMs in every state, with all that is odd."""
    async with running_api(database_url, None) as api:
        await api.report(vmid=100, cpuUsage=80, ramUsage=1, ramTotal=3)
        await api.report(vmid=101, diskUsage=None, diskTotal=None, uptime=None, node=None)
        await api.report(vmid=102, cpuUsage=0.1, ramUsage=49, ramTotal=400)
        await api.report(vmid=103, cpuUsage=99.99)
        for update in UPDATES:
            await api.sql(update)
        await api.sql("UPDATE vm SET hostname = %s WHERE id = 4", ODD)
        await api.sql(NEVER_HEARD_OF)
        await api.sql(ITS_STATE)
        yield api


async def test_every_vm_is_as_the_schema_says_and_the_same_wherever_it_is_shown(
    odd_fleet: RunningApi,
) -> None:
    listed: list[dict[str, Any]] = (await odd_fleet.get("/api/vms")).json()
    assert [vm["id"] for vm in listed] == ["vm_1", "vm_2", "vm_3", "vm_4", "vm_5"]
    fields = [field.alias for field in Vm.model_fields.values()]
    for vm in listed:
        assert list(vm) == fields
        Vm.model_validate(vm)
        assert (await odd_fleet.get(f"/api/vms/{vm['id']}")).json() == vm
    paged = (await odd_fleet.get("/api/vms", sort="vmid")).json()
    assert paged == {"items": listed, "nextCursor": None, "total": 5}


@pytest.mark.parametrize("hours", [1, 24, 400])
async def test_every_point_of_a_history_is_as_the_schema_says(
    odd_fleet: RunningApi, hours: int
) -> None:
    points = (await odd_fleet.get("/api/vms/vm_2/metrics", hours=hours)).json()
    fields = [field.alias for field in Metric.model_fields.values()]
    assert [list(point) for point in points] == [fields]
    Metric.model_validate(points[0])


async def test_what_is_odd_about_a_vm_is_shown_as_it_is(odd_fleet: RunningApi) -> None:
    first, second, third, fourth, never = (await odd_fleet.get("/api/vms")).json()
    assert (first["cpuUsage"], first["ramPercent"], first["diskPercent"]) == (80, 33.3, None)
    assert (second["node"], second["diskUsage"], second["uptime"]) == (None, None, None)
    assert (second["stateSince"], second["removedAt"]) == ("2024-01-01T00:00:00Z",) * 2
    assert (second["holdReason"], second["holdSince"]) == ("VMLocked", "2024-01-01T00:00:01Z")
    assert (second["health"], second["isDown"], second["isWarning"]) == ("down", True, False)
    assert (third["health"], third["state"], third["isDown"]) == ("down", "reset_failed", True)
    assert (third["lastReset"], third["resetPending"]) == ("2024-02-29T21:59:59Z", True)
    assert (fourth["hostname"], fourth["labels"]) == (ODD, {"team": "shop", "": ""})
    assert (fourth["paused"], fourth["pausedReason"]) == (False, "over")
    assert (never["health"], never["status"], never["lastHeartbeat"]) == ("unknown", None, None)


async def test_a_vm_that_is_not_there_is_not_found(odd_fleet: RunningApi) -> None:
    for vm_id in ("vm_6", "vm_0", "6", "vm_999999999999999999"):
        assert (await odd_fleet.get(f"/api/vms/{vm_id}")).status_code == 404
