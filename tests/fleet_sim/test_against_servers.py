"""The fleet simulator against the real Proxmox simulator and a real HTTP server for reports."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from agents.report_server import Answer, Received, ReportServer, report_server
from defib_dev.components.certificates import Authority
from defib_dev.fleet_sim.fleet import Rhythm
from defib_dev.fleet_sim.program import FleetSettings, run_fleet
from defib_dev.fleet_sim.sender import Counters
from defib_dev.proxmox_sim.inventory import build_datacenter
from defib_dev.proxmox_sim.simulator import Certificate, Ports, Simulator, wall_clock
from support.running_api import running_api
from support.waiting import eventually_async

KEY = "agents-key"
REFUSAL = '{"success":false,"message":"the key in the X-API-Key header is not valid"}'
INVENTORY = {
    "nodes": ["pve-node-1"],
    "guests": [
        {"prefix": "web-", "count": 20, "vmid": 100, "node": "pve-node-1", "bootSeconds": 0}
    ],
}


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    pair = Authority.ensure(tmp_path / "ca").server("proxmox")
    return Certificate(cert=pair.certificate, key=pair.key)


@asynccontextmanager
async def simulator(certificate: Certificate, *, control: int = 0) -> AsyncIterator[Simulator]:
    running = Simulator(build_datacenter(INVENTORY, wall_clock()))
    await running.start(Ports(control=control), certificate)
    try:
        yield running
    finally:
        await running.close()


@pytest.fixture
async def proxmox(certificate: Certificate) -> AsyncIterator[Simulator]:
    async with simulator(certificate) as running:
        yield running


@pytest.fixture
async def api() -> AsyncIterator[ReportServer]:
    async with report_server() as running:
        yield running


def settings(api: str, control: str, *, most_at_once: int = 64) -> FleetSettings:
    return FleetSettings(
        api=api,
        control=control,
        key=KEY,
        rhythm=Rhythm(interval=0.5),
        most_at_once=most_at_once,
        watch_seconds=0.05,
        count_seconds=60,
    )


@asynccontextmanager
async def fleet(told: FleetSettings) -> AsyncIterator[Counters]:
    """Run one; the counters count on while it runs."""
    stop, counters = asyncio.Event(), Counters()
    task = asyncio.create_task(run_fleet(told, stop, counters=counters))
    try:
        yield counters
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


def of(api: ReportServer, vmid: int) -> list[Received]:
    return [one for one in api.received if one.report["vmid"] == str(vmid)]


async def true_soon(condition: Callable[[], bool], what: str) -> None:
    async def ask() -> bool:
        return condition()

    await eventually_async(ask, what=what, deadline_seconds=20)


async def change(proxmox: Simulator, vmid: int, **changes: object) -> None:
    url = f"{proxmox.control_url}/control/guests/{vmid}"
    async with aiohttp.ClientSession() as session, session.patch(url, json=changes) as answer:
        answer.raise_for_status()


async def test_every_reporting_guest_reports_with_the_key(
    proxmox: Simulator, api: ReportServer
) -> None:
    async with fleet(settings(api.url, proxmox.control_url)) as counters:
        await true_soon(lambda: all(len(of(api, 100 + n)) >= 2 for n in range(20)), "two from each")
    assert counters.accepted >= 38
    assert counters.rejected == counters.unreachable == 0
    first = of(api, 107)[0]
    assert first.headers["X-API-Key"] == KEY
    assert first.report["hostname"] == "web-7"
    assert first.report["bootId"] == proxmox.dc.guest(107).simulated.boot_id
    assert first.report["smbiosUuid"] == proxmox.dc.guest(107).uuid


async def test_a_frozen_guest_is_silent_until_it_has_booted_again(
    proxmox: Simulator, api: ReportServer
) -> None:
    async with fleet(settings(api.url, proxmox.control_url)):
        await true_soon(lambda: len(of(api, 100)) >= 1, "a report before")
        before = of(api, 100)[0].report["bootId"]
        await change(proxmox, 100, frozen=True)
        # Three more rounds of everybody else, and the frozen one in none but the first.
        await true_soon(lambda: len(of(api, 101)) >= 2, "others going on")
        silent_since, others = len(of(api, 100)), len(of(api, 101))
        await true_soon(lambda: len(of(api, 101)) >= others + 3, "others going on")
        assert len(of(api, 100)) == silent_since
        proxmox.dc.guest(100).simulated.reset(wall_clock())
        await true_soon(lambda: len(of(api, 100)) > silent_since, "a report after the reset")
    after = of(api, 100)[-1].report
    assert after["bootId"] != before
    assert after["uptime"] <= 20


async def test_it_outlives_an_api_and_a_control_interface_that_are_away(
    certificate: Certificate,
) -> None:
    async with report_server() as gone_api, simulator(certificate) as gone_proxmox:
        told = settings(gone_api.url, gone_proxmox.control_url)
        api_port, control_port = gone_api.port, int(gone_proxmox.control_url.rpartition(":")[2])
    async with fleet(told) as counters:
        async with simulator(certificate, control=control_port):
            await true_soon(lambda: counters.unreachable >= 20, "attempts without an API")
            async with report_server(port=api_port) as api:
                await true_soon(lambda: len(api.received) >= 20, "reports once there is an API")
        async with report_server(port=api_port) as api:
            await true_soon(lambda: len(api.received) >= 20, "reports while control is away")
            await true_soon(lambda: counters.accepted >= 38, "answers to them")


async def test_no_more_reports_are_under_way_than_allowed_and_none_doubles(
    proxmox: Simulator, api: ReportServer
) -> None:
    api.gate.clear()
    async with fleet(settings(api.url, proxmox.control_url, most_at_once=5)) as counters:
        await true_soon(lambda: counters.skipped >= 20, "everybody's next moment come and gone")
        assert len(api.received) == 5
        assert len({one.report["vmid"] for one in api.received}) == 5
        api.gate.set()
        await true_soon(lambda: all(of(api, 100 + n) for n in range(20)), "one from each")


async def test_refused_reports_are_counted(proxmox: Simulator, api: ReportServer) -> None:
    api.answers.extend([Answer(401, REFUSAL)] * 30)
    async with fleet(settings(api.url, proxmox.control_url)) as counters:
        await true_soon(lambda: counters.accepted >= 20, "reports after the refusals")
    assert counters.rejected == 30


async def test_the_command_says_each_trouble_once_and_ends_cleanly_on_sigterm(
    proxmox: Simulator, api: ReportServer, tmp_path: Path
) -> None:
    api.answers.extend([Answer(401, REFUSAL)] * 30)
    key_file = tmp_path / "key"
    key_file.write_text(KEY + "\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "defib_cli.main", "dev", "fleet"),
        *("--api", api.url, "--control", proxmox.control_url, "--key-file", str(key_file)),
        *("--interval", "0.5", "--jitter", "0.1", "--cpu", "105=95"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "DEFIB_LOG_FORMAT": "json"},
    )
    try:
        await true_soon(lambda: len(api.received) >= 60, "reports after the refusals")
        process.send_signal(signal.SIGTERM)
        out, _ = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, out.decode()
    assert of(api, 105)[0].report["cpuUsage"] >= 93
    said = out.decode()
    assert said.count("the key in the X-API-Key header is not valid") == 1
    assert said.count("fleet.reports_accepted") == 1
    assert '"event": "fleet.counters"' in said
    assert KEY not in said


async def test_the_real_api_takes_the_fleets_reports(proxmox: Simulator, database_url: str) -> None:
    async with running_api(database_url, None) as api:
        told = settings(f"http://127.0.0.1:{api.port}", proxmox.control_url)
        async with fleet(replace(told, key=api.agent_key)) as counters:
            await true_soon(lambda: counters.accepted >= 40, "two reports of each stored")
        answer = await api.get("/api/vms")
        assert {vm["hostname"] for vm in answer.json()} == {f"web-{n}" for n in range(20)}
        assert {vm["health"] for vm in answer.json()} == {"healthy"}
        assert counters.rejected == 0
