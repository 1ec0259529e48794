"""The real agent and the real API: what one sends, the other stores and shows."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import psutil
import pytest

from agents.linux_agent import Agent
from support.running_api import RunningApi, running_api
from support.waiting import eventually_async

MIB = 1024 * 1024


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[RunningApi]:
    async with running_api(database_url, None) as running:
        yield running


def pointed_at(agent: Agent, api: RunningApi) -> Agent:
    agent.key_file.write_text(api.agent_key)
    return agent.with_settings(DEFIB_URL=f"http://127.0.0.1:{api.port}")


async def vms(api: RunningApi) -> list[dict[str, Any]]:
    answer = await api.get("/api/vms")
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_this_machine_appears_as_a_vm_with_plausible_figures(
    agent: Agent, api: RunningApi
) -> None:
    settled = pointed_at(agent, api).with_settings(DEFIB_VMID="4711", DEFIB_HOSTNAME="this-one")
    done = await settled.run("--once")
    assert (done.code, done.out, done.err) == (0, "", "")
    [vm] = await vms(api)
    assert (vm["hostname"], vm["vmid"], vm["status"]) == ("this-one", "4711", "running")
    assert vm["health"] in {"healthy", "warning"}
    assert vm["ramTotal"] == psutil.virtual_memory().total // MIB
    assert 0 < vm["ramUsage"] <= vm["ramTotal"]
    assert 0 <= vm["cpuUsage"] <= 100


async def test_the_apis_words_reach_the_agents_log(agent: Agent, api: RunningApi) -> None:
    settled = pointed_at(agent, api)
    odd = await settled.with_settings(DEFIB_HOSTNAME="no such name").run("--once")
    assert odd.code == 1
    assert "hostname must be a host name" in odd.err
    uuid = agent.folder / "uuid"
    uuid.write_text("4c4c4544-0042-4b10-8057-b6c04f4d3432\n")
    unknown = await settled.with_settings(DEFIB_VMID="", DEFIB_SMBIOS_FILE=str(uuid)).run("--once")
    assert unknown.code == 1
    assert "is being looked up in Proxmox" in unknown.err
    agent.key_file.write_text("not-the-key\n")
    refused = await settled.run("--once")
    assert refused.code == 1
    assert "refuses the key" in refused.err
    assert "unknown, expired or revoked" in refused.err
    assert await vms(api) == []


# through an outage

OUTAGE_REPORTS = 12
# The agent's own report, back-off, memory and curl; only its clocks and counters are ours, so that
# an outage of six minutes passes at once. Where the API is, it is told before each report.
THROUGH_AN_OUTAGE = """
    read_environment; choose_tool; check_server
    now=1000000 uptime=5000 counted=0
    read_clock() { :; }
    read_uptime() { :; }
    read_ticks() { counted=$((counted + 1000)) new_ticks=$counted new_idle=$((counted - busy)); }
    measure_cpu() { read_ticks; cpu=$busy; }
    next() { now=$((now + 30)) uptime=$((uptime + 30)); report running; }
    busy=10; next
    read -r _ <"$TOLD"
    busy=99; for _ in $STEPS; do next; done
    read -r url <"$TOLD"
    busy=11; next
    [ "$kept_count" = 0 ]
"""


async def test_what_an_outage_hid_is_in_the_history_afterwards_and_moves_no_state(
    agent: Agent, database_url: str
) -> None:
    told = agent.folder / "told"
    os.mkfifo(told)
    steps = " ".join("x" * OUTAGE_REPORTS)
    async with running_api(database_url, None) as api:
        settled = pointed_at(agent, api).with_settings(TOLD=str(told), STEPS=steps)
        running = asyncio.create_task(asyncio.to_thread(settled.sourced, THROUGH_AN_OUTAGE))

        async def is_heard() -> bool:
            return bool(await vms(api))

        await eventually_async(is_heard, what="the first report is stored", deadline_seconds=60)
    await asyncio.to_thread(told.write_text, "the API is gone\n")
    async with running_api(database_url, None) as api:
        await asyncio.to_thread(told.write_text, f"http://127.0.0.1:{api.port}\n")
        done = await running
        assert done.code == 0, done.err
        [vm] = await vms(api)
        assert (vm["health"], vm["cpuUsage"]) == ("healthy", 11)
        history = (await api.get(f"/api/vms/{vm['id']}/metrics", hours=1)).json()
        transitions = await api.sql("SELECT to_state, reason FROM vm_transition")
    assert sorted(one["cpuUsage"] for one in history) == [10, 11, *[99] * OUTAGE_REPORTS]
    hidden = [datetime.fromisoformat(one["timestamp"]) for one in history if one["cpuUsage"] == 99]
    # The last one is no older than an interval, and so is stored by itself, a moment earlier.
    gaps = {(later - earlier).total_seconds() for earlier, later in pairwise(hidden[:-1])}
    assert gaps == {30.0}
    assert transitions == [("healthy", "FirstHeartbeat")]


# two machines with one identity

A_COPY = "read_boot_id() { boot_id=$BOOT; }; read_environment; choose_tool; check_server"
ONE_REPORT = 'cpu=1.0; measure_cpu() { read_ticks; cpu=1.0; }; report running; test -z "$trouble"'


NAMED = """
SELECT s.clone_since IS NOT NULL, v.hostname FROM vm v JOIN vm_state s ON s.vm_id = v.id
"""


async def test_two_copies_of_one_vm_are_named_and_do_not_flap(
    agent: Agent, api: RunningApi
) -> None:
    settled = pointed_at(agent, api)
    machines = {
        "web-01": settled.with_settings(DEFIB_HOSTNAME="web-01", BOOT="boot-1"),
        "web-01-copy": settled.with_settings(DEFIB_HOSTNAME="web-01-copy", BOOT="boot-2"),
    }
    names: list[tuple[Any, ...]] = []
    for _ in range(3):
        for machine in machines.values():
            done = await asyncio.to_thread(machine.sourced, f"{A_COPY}\n{ONE_REPORT}")
            assert done.code == 0, done.err
            names += await api.sql(NAMED)
    # The fourth report is the second return; the name that the VM has then stays.
    assert names == [
        (False, "web-01"),
        (False, "web-01-copy"),
        (False, "web-01"),
        *[(True, "web-01-copy")] * 3,
    ]
    vm = (await api.get("/api/vms/vm_1")).json()
    assert (vm["cloneSuspected"], vm["hostname"]) == (True, "web-01-copy")
    told = (await api.get(f"/api/vms/{vm['id']}/explain")).json()
    assert any("two machines seem to report" in one for one in told["warnings"])
