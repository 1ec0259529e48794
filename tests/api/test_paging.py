"""Pages of VMs: found, sorted and cut on the server, right while the fleet changes."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from support.running_api import RunningApi, running_api

FILL = """
WITH new AS (
    INSERT INTO vm (cluster_id, vmid, hostname, node, labels, registered_by, config_id)
    SELECT c.id, 1000 + n, 'Web-' || lpad(n::text, 3, '0'), 'pve' || n % 3,
        CASE WHEN n % 4 = 0 THEN jsonb_build_object('team', 'shop') ELSE '{}' END, 'manifest', s.id
    FROM generate_series(0, 119) AS n, proxmox_cluster c, system_config s
    ORDER BY n RETURNING id, vmid
)
INSERT INTO vm_state (vm_id, state, last_heartbeat, cpu, ram, ram_total, config_id, stale_timeout,
                      cpu_threshold, ram_threshold, max_attempts)
SELECT new.id,
    (ARRAY['healthy', 'healthy', 'warning', 'down', 'reset_failed', 'unknown'])[1 + n % 6],
    CASE WHEN n % 6 < 5 THEN '2024-01-01T00:00:00Z'::timestamptz + n * interval '1 second' END,
    CASE WHEN n % 6 < 5 THEN (n * 37) % 100 END, CASE WHEN n % 6 < 5 THEN n END,
    CASE WHEN n % 6 < 5 THEN 200 END, s.id, interval '5 minutes', 80, 90, 3
FROM new, system_config s, LATERAL (SELECT new.vmid - 1000 AS n) AS numbered
"""
UNHEALTHY_FIRST = ["reset_failed", "down", "warning", "unknown", "healthy"]
SORTS = {
    "health": lambda vm: UNHEALTHY_FIRST.index(vm["state"]),
    "hostname": lambda vm: vm["hostname"],
    "node": lambda vm: vm["node"],
    "vmid": lambda vm: int(vm["vmid"]),
    "cpu": lambda vm: vm["cpuUsage"],
    "ram": lambda vm: vm["ramPercent"],
    "lastHeartbeat": lambda vm: vm["lastHeartbeat"],
}


@pytest.fixture(scope="module")
async def fleet(module_database_url: str) -> AsyncIterator[RunningApi]:
    """120 VMs, in all states, on three nodes."""
    async with running_api(module_database_url, None) as api:
        await api.sql(FILL)
        await api.sql("UPDATE vm SET paused_reason = 'patching' WHERE vmid = 1007")
        yield api


async def page(api: RunningApi, **asked: object) -> dict[str, Any]:
    """One page."""
    answer = await api.get("/api/vms", **asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def names(api: RunningApi, **asked: object) -> list[str]:
    """The names of all VMs that are found, page by page."""
    found: list[str] = []
    cursor: dict[str, object] = {}
    while True:
        one = await page(api, **asked, **cursor)
        found += [vm["hostname"] for vm in one["items"]]
        if one["nextCursor"] is None:
            assert len(found) == one["total"]
            return found
        cursor = {"cursor": one["nextCursor"]}


async def test_a_page_is_cut_at_its_limit_and_counts_everything(fleet: RunningApi) -> None:
    first = await page(fleet, limit=50)
    assert (len(first["items"]), first["total"]) == (50, 120)
    assert first["nextCursor"]
    assert (await page(fleet, limit=500))["nextCursor"] is None
    assert len((await page(fleet, search=""))["items"]) == 100


async def test_without_parameters_it_is_the_contracts_array(fleet: RunningApi) -> None:
    everything = (await fleet.get("/api/vms")).json()
    assert [vm["id"] for vm in everything] == [f"vm_{n + 1}" for n in range(120)]
    assert (await fleet.get("/api/vms", t="1700000000")).json() == everything


@pytest.mark.parametrize("reverse", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("sort", SORTS)
async def test_pages_in_a_row_are_the_whole_fleet_in_order(
    fleet: RunningApi, sort: str, reverse: bool
) -> None:
    said = f"-{sort}" if reverse else sort
    found = await names(fleet, sort=said, limit=7)
    vms = {vm["hostname"]: vm for vm in (await fleet.get("/api/vms")).json()}
    key = SORTS[sort]
    known = sorted(
        (vm for vm in vms.values() if key(vm) is not None), key=lambda vm: vm["hostname"]
    )
    known.sort(key=key)
    lost = sorted(vm["hostname"] for vm in vms.values() if key(vm) is None)
    expected = [vm["hostname"] for vm in known]
    if reverse:
        expected, lost = expected[::-1], lost[::-1]
    assert found == expected + lost, "what is not known comes last either way"


async def test_the_unhealthy_come_first_where_nothing_is_said(fleet: RunningApi) -> None:
    states = [vm["state"] for vm in (await page(fleet, limit=120))["items"]]
    assert states == sorted(states, key=UNHEALTHY_FIRST.index)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"search": "wEb-00"}, range(10)),
        ({"search": "1119"}, [119]),
        (
            {"search": "PVE2", "health": "down"},
            [n for n in range(120) if n % 6 == 3 and n % 3 == 2],
        ),
        ({"search": "nothing is called so"}, []),
        ({"health": "down"}, range(3, 120, 6)),
        ({"health": "down, reset_failed"}, [n for n in range(120) if n % 6 in {3, 4}]),
        ({"node": "pve1"}, range(1, 120, 3)),
        ({"node": "pve"}, []),
        ({"cluster": "default", "node": "pve0"}, range(0, 120, 3)),
        ({"cluster": "other"}, []),
        ({"label": "team"}, range(0, 120, 4)),
        ({"label": "team=shop", "node": "pve0"}, range(0, 120, 12)),
        ({"label": "team=other"}, []),
        ({"label": ["team", "rack"]}, []),
        ({"paused": "true"}, [7]),
        ({"paused": "false", "search": "web-007"}, []),
    ],
    ids=str,
)
async def test_only_what_is_asked_for_is_found(
    fleet: RunningApi, asked: dict[str, object], expected: Iterable[int]
) -> None:
    found = await names(fleet, sort="hostname", limit=9, **asked)
    assert found == [f"Web-{n:03}" for n in expected]


async def test_a_next_page_is_right_when_a_vm_before_it_has_gone(fleet: RunningApi) -> None:
    whole = await names(fleet, sort="-vmid", search="web-11")
    first = await page(fleet, sort="-vmid", search="web-11", limit=3)
    last = first["items"][-1]
    await fleet.sql("UPDATE vm SET hostname = 'gone' WHERE hostname = %s", last["hostname"])
    try:
        fleet.services.snapshots.view.forget()
        rest = await page(
            fleet, sort="-vmid", search="web-11", limit=500, cursor=first["nextCursor"]
        )
    finally:
        await fleet.sql("UPDATE vm SET hostname = %s WHERE hostname = 'gone'", last["hostname"])
    assert [vm["hostname"] for vm in rest["items"]] == whole[3:]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"health": "ill"}, "health"),
        ({"sort": "age"}, "sort"),
        ({"sort": "--cpu"}, "sort"),
        ({"paused": "perhaps"}, "paused"),
        ({"cursor": "rubbish"}, "cursor"),
        ({"cursor": "ä"}, "cursor"),
        ({"cursor": "bnVsbA"}, "cursor"),
        ({"cursor": "WyJoZWFsdGgiLCJ4IiwieCIsMV0"}, "cursor"),
        ({"cursor": "WyJoZWFsdGgiLDEsMSwxXQ"}, "cursor"),
        ({"search": "x" * 513}, "search"),
        ({"label": ["x"] * 17}, "label"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_cannot_be_asked_is_refused_by_name(
    fleet: RunningApi, asked: dict[str, object], field: str
) -> None:
    answer = await fleet.get("/api/vms", **asked)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_cursor_of_another_order_is_refused(fleet: RunningApi) -> None:
    cursor = (await page(fleet, sort="cpu", limit=1))["nextCursor"]
    answer = await fleet.get("/api/vms", sort="-cpu", cursor=cursor)
    assert answer.status_code == 400
    assert "sorted by 'cpu'" in answer.json()["message"]
