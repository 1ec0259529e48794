"""The real agent and the real API: what one sends, the other stores and shows."""

from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from agents.linux_agent import Agent
from support.running_api import RunningApi, running_api

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
