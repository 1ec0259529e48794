"""What the agent sends, against the seed, the API's own decoder and independent readings."""

import json
import time
from pathlib import Path

import psutil
import pytest

from agents.linux_agent import KEY, SHELLS, Agent, obtain
from agents.report_server import ReportServer
from defib_api.ingest.report import decode
from defib_dev.agent_check import figures

MIB = 1024 * 1024
SEED_FIELDS = {
    "hostname": str,
    "vmid": str,
    "node": str,
    "status": str,
    "cpuUsage": float,
    "ramUsage": int,
    "ramTotal": int,
    "diskUsage": int,
    "diskTotal": int,
    "uptime": int,
    "timestamp": int,
}
ODD_NAMES = (
    'quote"inside',
    "back\\slash",
    "a tab\tand \x01 and \x7f",
    "slash/and'apostrophe",
    "$(id) `id` ${HOME} %s *",
    "büro-日本",
    '","status":"forged',
)


async def test_a_report_has_the_seeds_fields_with_the_seeds_types(
    agent: Agent, server: ReportServer
) -> None:
    settled = agent.with_settings(DEFIB_URL=server.url, DEFIB_NODE="pve-node-1")
    done = await settled.run("--once")
    assert (done.code, done.out, done.err) == (0, "", "")
    [received] = server.received
    assert received.path == "/api/health/report"
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["X-API-Key"] == KEY
    report = received.report
    assert list(report)[: len(SEED_FIELDS)] == list(SEED_FIELDS)
    assert {name: type(report[name]) for name in SEED_FIELDS} == SEED_FIELDS
    assert (report["vmid"], report["node"], report["status"]) == ("100", "pve-node-1", "running")
    assert report["bootId"] == kernel_says("random/boot_id")
    assert report["agentVersion"] == "0.1.0"


async def test_the_api_reads_what_the_agent_sends(agent: Agent, server: ReportServer) -> None:
    uuid = agent.folder / "uuid"
    uuid.write_text("4C4C4544-0042-4B10-8057-B6C04F4D3432\n")
    settled = agent.with_settings(DEFIB_URL=server.url, DEFIB_SMBIOS_FILE=str(uuid))
    await settled.run("--once")
    report = decode(server.received[0].body)
    assert report.vmid == "100"
    assert str(report.smbios_uuid) == "4c4c4544-0042-4b10-8057-b6c04f4d3432"


async def test_without_a_vmid_the_smbios_uuid_says_which_vm_it_is(agent: Agent) -> None:
    uuid = agent.folder / "uuid"
    uuid.write_text("4c4c4544-0042-4b10-8057-b6c04f4d3432\n")
    done = await agent.with_settings(DEFIB_VMID="", DEFIB_SMBIOS_FILE=str(uuid)).run("--dry-run")
    report = json.loads(done.out)
    assert "vmid" not in report
    assert report["smbiosUuid"] == "4c4c4544-0042-4b10-8057-b6c04f4d3432"


async def test_a_dry_run_prints_the_report_and_sends_nothing(
    agent: Agent, server: ReportServer
) -> None:
    done = await agent.with_settings(DEFIB_URL=server.url).run("--dry-run")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["status"] == "running"
    assert server.received == []


async def test_the_figures_agree_with_psutil(agent: Agent) -> None:
    memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
    done = await agent.run("--dry-run")
    report = json.loads(done.out)
    assert report["ramTotal"] == memory.total // MIB
    assert report["ramUsage"] == pytest.approx(
        (memory.total - memory.available) / MIB, abs=max(300, memory.total / MIB * 0.05)
    )
    assert report["diskTotal"] == pytest.approx(disk.total / MIB, abs=1)
    assert report["diskUsage"] == pytest.approx(disk.used / MIB, abs=500)
    assert report["uptime"] == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=5)
    assert report["timestamp"] == pytest.approx(time.time(), abs=5)
    assert 0 <= report["cpuUsage"] <= 100


@pytest.mark.parametrize("shell", SHELLS)
def test_cpu_on_a_loaded_machine_agrees_with_psutil(shell: str) -> None:
    obtain(shell)
    found = {one.name: one for one in figures.compare(1.0, load=1, shell=shell)}["CPU"]
    # Both look at the same second, the agent from a moment before to a moment after it.
    assert abs(found.difference) <= 20
    assert found.agent >= 60 / (psutil.cpu_count() or 1)


async def test_an_odd_host_name_arrives_as_it_is(agent: Agent, server: ReportServer) -> None:
    odd = "".join(ODD_NAMES)
    await agent.with_settings(DEFIB_URL=server.url, DEFIB_HOSTNAME=odd).run("--once")
    assert server.received[0].report["hostname"] == odd
    assert server.received[0].report["status"] == "running"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_texts_are_escaped_for_json(agent: Agent, name: str) -> None:
    done = agent.with_settings(ODD=name).sourced('json_text "$ODD"; printf "%s" "$quoted"')
    assert json.loads(done.out) == name


async def test_the_hostname_is_the_kernels(agent: Agent) -> None:
    done = await agent.run("--dry-run")
    assert json.loads(done.out)["hostname"] == kernel_says("hostname")


def kernel_says(name: str) -> str:
    return Path("/proc/sys/kernel", name).read_text().strip()
