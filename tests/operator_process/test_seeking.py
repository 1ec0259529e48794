"""A machine that says nothing but its SMBIOS UUID is found in Proxmox, by the operator itself."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from agents.linux_agent import Agent, make_agent
from defib_core.store import registry, tokens
from defib_core.store.engine import make_engine
from defib_core.store.sought import Sought
from defib_core.store.tokens import TokenKind
from defib_operator.proxmox import GuestKind, Inventory, InventoryVm, PowerStatus
from defib_operator.seeking import AGAIN_AFTER, LOOKS, Read, may_report, next_to_read, vm_of
from operator_process.world import VM, World
from support.running_api import RunningApi, running_api
from support.waiting import eventually_async

UUID = "5b0c1a58-0000-4000-8000-0000000000aa"
OTHER = "5b0c1a58-0000-4000-8000-0000000000bb"
TURNED = "581a0c5b-0000-0040-8000-0000000000aa"
MACHINE = Sought(1, UUID, "web-0.example.com")


@pytest.fixture
async def api(world: World) -> AsyncIterator[RunningApi]:
    """The API on this world's database."""
    async with running_api(world.database_url, None) as running:
        yield running


async def key_for(world: World) -> str:
    """A key that the VMs of this world's cluster share."""
    engine = make_engine(world.database_url, application="tests")
    try:
        async with engine.begin() as connection:
            await registry.ensure_defaults(connection, world.namespace)
            cluster = await tokens.cluster_id_of(connection, world.namespace, "default")
            return await tokens.create(connection, TokenKind.AGENT, "vms", cluster_id=cluster)
    finally:
        await engine.dispose()


async def agent_of(world: World, api: RunningApi, folder: Path, uuid: str = UUID) -> Agent:
    """The real Linux agent in a VM of which it knows the UUID and nothing else."""
    agent = make_agent("dash", folder)
    agent.key_file.write_text(await key_for(world))
    smbios = folder / "product_uuid"
    smbios.write_text(f"{uuid.upper()}\n")
    return agent.with_settings(
        DEFIB_URL=f"http://127.0.0.1:{api.port}",
        DEFIB_VMID="",
        DEFIB_HOSTNAME="web-0",
        DEFIB_SMBIOS_FILE=str(smbios),
    )


async def test_an_agent_that_knows_only_its_uuid_is_found_registered_and_heard(
    world: World, api: RunningApi, tmp_path: Path
) -> None:
    world.proxmox.guest(149, "web-1", uuid=OTHER)
    world.proxmox.guest(150, "web-0", uuid=UUID)
    agent = await agent_of(world, api, tmp_path)

    first = await agent.run("--once")
    assert first.code == 1
    assert "is being looked up in Proxmox" in first.err

    async def is_taken() -> bool:
        return (await agent.run("--once")).code == 0

    await eventually_async(is_taken, what="its report is taken", deadline_seconds=60)
    await world.condition("web-0", "Ready", "Monitored", deadline_seconds=60)
    registered = await world.kube.get(VM, "web-0")
    assert registered is not None
    assert registered["spec"]["vmid"] == 150
    assert await world.vm_row(150, "v.smbios_uuid::text") == (UUID,)
    [shown] = (await api.get("/api/vms", search="web-0")).json()["items"]
    assert (shown["vmid"], shown["health"] in {"healthy", "warning"}) == ("150", True)


async def test_a_uuid_that_two_vms_have_names_none_until_one_of_them_is_gone(
    world: World, api: RunningApi, tmp_path: Path
) -> None:
    world.proxmox.guest(150, "web-0", uuid=UUID)
    world.proxmox.guest(151, "web-0", uuid=UUID)
    agent = await agent_of(world, api, tmp_path)
    assert (await agent.run("--once")).code == 1
    await world.sweeps(3)
    assert (await agent.run("--once")).code == 1

    world.change(151, power="stopped")

    async def is_taken() -> bool:
        return (await agent.run("--once")).code == 0

    await eventually_async(is_taken, what="its report is taken", deadline_seconds=60)
    assert await world.vm_row(150, "v.smbios_uuid::text") == (UUID,)
    assert await world.vm_row(151, "v.id") is None


def listed(vmid: int, name: str, **changes: object) -> InventoryVm:
    row: dict[str, object] = {
        "vmid": vmid,
        "node": "pve1",
        "name": name,
        "kind": GuestKind.QEMU,
        "status": PowerStatus.RUNNING,
        "template": False,
        "lock": None,
        "ha_state": None,
    }
    return InventoryVm(**{**row, **changes})  # type: ignore[arg-type]  # fields of any type


def read(uuid: str | None, *, is_known: bool = True) -> Read:
    return Read(uuid, 0.0, is_known=is_known)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({100: read(UUID)}, 100),  # its only namesake: the others need not be read
        ({100: read(OTHER), 101: read(UUID), 102: read(None)}, 101),
        ({100: read(OTHER), 101: read(UUID)}, None),  # 102 might have it as well
        ({100: read(OTHER), 101: read(UUID), 102: read(None, is_known=False)}, None),
        ({100: read(OTHER), 101: read(UUID), 102: read(UUID)}, None),
        ({100: read(None, is_known=False), 101: read(OTHER), 102: read(OTHER)}, None),
        ({}, None),
        ({100: read(TURNED)}, 100),  # an old firmware table is read with its bytes turned around
    ],
)
def test_a_machine_is_named_only_where_that_is_sure(
    known: Mapping[int, Read], expected: int | None
) -> None:
    running = [listed(100, "WEB-0"), listed(101, "db-0"), listed(102, "db-1")]
    assert vm_of(MACHINE, running, known) == expected


def test_namesakes_are_read_first_and_nobody_twice_in_a_while() -> None:
    running = [listed(vmid, f"vm-{vmid}") for vmid in range(100, 200)] + [listed(999, "web-0")]
    known = {100: read(OTHER), 101: Read(OTHER, 500.0, is_known=True)}
    chosen = next_to_read([MACHINE], running, known, AGAIN_AFTER.total_seconds() + 1)
    assert [vm.vmid for vm in chosen[:3]] == [999, 102, 103]
    assert len(chosen) == LOOKS
    soon = next_to_read([MACHINE], running[:2], known, 1.0)
    assert soon == []
    trouble = {100: read(None, is_known=False)}
    assert [vm.vmid for vm in next_to_read([MACHINE], running[:1], trouble, 31.0)] == [100]


def test_what_cannot_report_is_not_read() -> None:
    inventory = Inventory(
        vms=(
            listed(100, "runs"),
            listed(101, "off", status=PowerStatus.STOPPED),
            listed(102, "container", kind=GuestKind.LXC),
            listed(103, "template", template=True),
            listed(104, "away", node="pve2"),
        ),
        nodes={"pve1": True, "pve2": False},
        quorate=True,
        version="9.1",
        unreadable={},
    )
    assert [vm.vmid for vm in may_report(inventory)] == [100]
