"""`defib coverage`, from Proxmox's list to the table a person reads."""

import json
from pathlib import Path

from controls.program import program_for
from defib_dev.proxmox_sim.access import ALL_PRIVILEGES
from operator_process.world import World
from support.proxmox import TOKEN_ID
from support.running_api import RunningApi, running_api
from support.waiting import eventually_async


async def counts(api: RunningApi) -> dict[str, int]:
    found: dict[str, int] = (await api.get("/api/coverage")).json()["counts"]
    return found


async def test_what_the_operator_sees_is_what_the_program_tells(
    empty_world: World, tmp_path: Path
) -> None:
    world = empty_world
    await world.furnish()
    world.proxmox.guest(140, "build-07")
    world.proxmox.dc.access.grant("/", TOKEN_ID, ALL_PRIVILEGES - {"VM.PowerMgmt"})
    async with world.operator(), running_api(world.database_url, None) as api:
        await world.watched("web-0", 100)

        async def told() -> bool:
            return await counts(api) == {
                "agentless": 1,
                "unknownAgents": 0,
                "notResettable": 1,
                "inventory": 2,
            }

        await eventually_async(told, what="the list is written down", deadline_seconds=60)
        defib = program_for(api, tmp_path)
        ran = await defib("coverage")
        as_json = await defib("coverage", "--json")
    assert ran.code == 0, ran.err
    assert "Proxmox lists 2 VMs and containers. Read: default (" in ran.out
    assert "VMs without an agent: 1" in ran.out
    assert "default  pve1  140   build-07  running" in ran.out
    assert "Agents without a VM: 0" in ran.out
    assert "web-0     default  pve1  ProxmoxForbidden  the token may not reset it" in ran.out
    assert json.loads(as_json.out)["agentless"][0]["vmid"] == "140"
