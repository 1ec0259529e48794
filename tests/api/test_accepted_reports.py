"""What a report may leave out or say otherwise, and still be stored."""

import itertools

import pytest

from support.running_api import SEED_REPORT, RunningApi
from support.waiting import eventually_async

VMIDS = itertools.count(1000)
UUID = "4c4c4544-0042-4b10-8057-b6c04f4d3432"


@pytest.mark.parametrize("vmid", ["100", 100, "999999999", 999999999])
async def test_a_vmid_may_be_text_or_a_number(api: RunningApi, vmid: object) -> None:
    assert (await api.report(vmid=vmid)).status_code == 200
    assert (await api.get("/api/vms/vm_1")).json()["vmid"] == str(vmid)


async def test_text_and_number_are_the_same_vm(api: RunningApi) -> None:
    await api.report(vmid="100")
    await api.report(vmid=100)
    assert await api.sql("SELECT reports FROM vm_state") == [(2,)]


async def test_unknown_fields_are_passed_over(api: RunningApi) -> None:
    answer = await api.report(load=[1, 2, {"deep": True}], kernel="6.1", Hostname="other")
    assert answer.status_code == 200


async def test_the_least_a_report_needs(api: RunningApi) -> None:
    least = {"hostname": "web", "vmid": 100, "cpuUsage": 0, "ramUsage": 0, "ramTotal": 1}
    assert (await api.send(least)).status_code == 200
    vm = (await api.get("/api/vms/vm_1")).json()
    assert (vm["status"], vm["node"], vm["diskUsage"], vm["diskPercent"], vm["uptime"]) == (
        "running",
        None,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    "hostname", ["a", "WEB-01", "web.example.com", "10.0.0.5", "win_srv_1", "a" * 63 + ".b"]
)
async def test_ordinary_hostnames_are_accepted(shared_api: RunningApi, hostname: str) -> None:
    answer = await shared_api.report(vmid=next(VMIDS), hostname=hostname)
    assert answer.json()["message"] == f"Health report received for {hostname}"


@pytest.mark.parametrize(
    "timestamp", [-1, 0, 10**18, 1672531200000, "yesterday", [], {}, True, None, 1e300]
)
async def test_an_absurd_clock_is_dropped_and_the_report_stored(
    shared_api: RunningApi, timestamp: object
) -> None:
    vmid = next(VMIDS)
    answer = await shared_api.send({**SEED_REPORT, "vmid": vmid, "timestamp": timestamp})
    assert answer.status_code == 200
    assert await shared_api.sql(
        "SELECT agent_time, reports FROM vm_state JOIN vm ON vm.id = vm_id WHERE vmid = %s", vmid
    ) == [(None, 1)]


async def test_absurd_clocks_are_counted_and_missing_ones_are_not(api: RunningApi) -> None:
    counts = api.services.counts
    await api.report()
    await api.report(timestamp=None)
    assert counts.timestamps_dropped == 0
    await api.report(timestamp=10**18)
    await api.batch({"timestamp": -1}, {"timestamp": 0, "ageSeconds": 600}, {})
    assert counts.timestamps_dropped == 3


@pytest.mark.parametrize("cpu", [1e-300, 5e-324, 99.999999, 0.004])
async def test_figures_that_a_column_cannot_hold_are_rounded(
    shared_api: RunningApi, cpu: float
) -> None:
    vmid = next(VMIDS)
    assert (await shared_api.report(vmid=vmid, cpuUsage=cpu)).status_code == 200
    stored = await shared_api.sql(
        "SELECT cpu FROM vm_state JOIN vm ON vm.id = vm_id WHERE vmid = %s", vmid
    )
    assert stored == [(round(cpu, 2),)]


async def test_fractions_of_a_megabyte_are_rounded(api: RunningApi) -> None:
    answer = await api.report(ramUsage=2048.4, ramTotal=4095.6, uptime=3600.7)
    assert answer.status_code == 200
    assert await api.sql("SELECT ram, ram_total, uptime FROM vm_state") == [(2048, 4096, 3601)]


@pytest.mark.parametrize("node", ["", None])
async def test_a_node_nobody_knows_may_be_left_out_or_empty(api: RunningApi, node: object) -> None:
    assert (await api.send({**SEED_REPORT, "node": node})).status_code == 200
    assert (await api.get("/api/vms/vm_1")).json()["node"] is None


async def test_a_report_without_vmid_is_found_by_its_uuid(api: RunningApi) -> None:
    await api.report(smbiosUuid=UUID.upper())
    answer = await api.report(vmid=None, smbiosUuid=UUID)
    assert answer.status_code == 200
    assert await api.sql("SELECT vm_id, reports FROM vm_state") == [(1, 2)]


async def test_a_uuid_that_two_vms_share_finds_neither(api: RunningApi) -> None:
    await api.report(smbiosUuid=UUID)
    await api.report(vmid=101, smbiosUuid=UUID)
    answer = await api.report(vmid=None, smbiosUuid=UUID)
    assert answer.status_code == 400
    assert "VMs 100 and 101 have the report's smbiosUuid" in answer.json()["message"]


@pytest.mark.parametrize("uuid", ["00000000-0000-0000-0000-000000000000", "F" * 32])
async def test_firmware_without_a_uuid_is_not_an_identity(api: RunningApi, uuid: str) -> None:
    assert (await api.report(smbiosUuid=uuid)).status_code == 200
    assert await api.sql("SELECT smbios_uuid FROM vm") == [(None,)]
    assert (await api.report(vmid=None, smbiosUuid=uuid)).status_code == 400


async def test_a_new_hostname_and_node_replace_the_old(api: RunningApi) -> None:
    await api.report()
    answer = await api.report(hostname="web-server-02", node="pve-node-2", agentVersion="2")
    assert answer.json()["message"] == "Health report received for web-server-02"
    vm = (await api.get("/api/vms/vm_1")).json()
    assert (vm["hostname"], vm["node"]) == ("web-server-02", "pve-node-2")
    assert await api.sql("SELECT agent_version FROM vm") == [("2",)]


async def test_a_field_left_out_changes_nothing(api: RunningApi) -> None:
    await api.report(smbiosUuid=UUID, agentVersion="1")
    await api.report(node=None)
    assert await api.sql("SELECT node, smbios_uuid::text, agent_version FROM vm") == [
        ("pve-node-1", UUID, "1")
    ]


async def test_two_vms_of_one_hostname_are_two_vms(api: RunningApi) -> None:
    await api.report(vmid=100)
    await api.report(vmid=101)
    assert len(await api.sql("SELECT 1 FROM vm WHERE hostname = 'web-server-01'")) == 2


async def test_a_vm_that_was_removed_is_registered_again(api: RunningApi) -> None:
    await api.report()
    await api.sql("DELETE FROM vm")
    assert (await api.report()).status_code == 200
    assert await api.sql(
        "SELECT v.vmid, s.reports FROM vm v JOIN vm_state s ON s.vm_id = v.id"
    ) == [(100, 1)]


async def test_the_same_vmid_in_another_cluster_is_another_vm(api: RunningApi) -> None:
    await api.report()
    await api.sql("INSERT INTO proxmox_cluster (namespace, name) VALUES ('defib', 'west')")
    await api.sql(
        "INSERT INTO api_token (sha256, kind, name, cluster_id)"
        " SELECT sha256('west-key'::bytea), 'agent', 'west', id FROM proxmox_cluster"
        " WHERE name = 'west'"
    )
    answer = await api.http.post(
        "/api/health/report", json=dict(SEED_REPORT), headers={"X-API-Key": "west-key"}
    )
    assert answer.status_code == 200
    clusters = {
        vm["cluster"] for vm in [(await api.get(f"/api/vms/vm_{n}")).json() for n in (1, 2)]
    }
    assert clusters == {"default", "west"}


async def test_a_key_whose_cluster_has_no_config_says_what_to_apply(api: RunningApi) -> None:
    await api.sql("INSERT INTO proxmox_cluster (namespace, name) VALUES ('other', 'lost')")
    await api.sql(
        "INSERT INTO api_token (sha256, kind, name, cluster_id)"
        " SELECT sha256('lost-key'::bytea), 'agent', 'lost', id FROM proxmox_cluster"
        " WHERE name = 'lost'"
    )
    answer = await api.http.post(
        "/api/health/report", json=dict(SEED_REPORT), headers={"X-API-Key": "lost-key"}
    )
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "SystemConfig named default" in answer.json()["message"]


async def test_a_restarted_api_knows_the_fleet_without_writing(api: RunningApi) -> None:
    await api.report()
    before = await api.sql("SELECT xmin::text FROM vm")
    again = type(api.services.known)(api.services.engine)
    assert await again.preload() == 1
    assert await api.sql("SELECT xmin::text FROM vm") == before

    async def is_stored() -> bool:
        await api.report()
        return await api.sql("SELECT xmin::text FROM vm") == before

    assert await eventually_async(is_stored, what="a known VM's report leaves its row alone")
