"""What the client learns of a VM, and what it leaves open. Our simulator, over real HTTPS."""

from datetime import UTC, datetime, timedelta

import pytest

from defib_core.domain.actions import PowerStep
from defib_dev.proxmox_sim.changes import change_guest
from defib_dev.proxmox_sim.faults import ApiMode
from defib_dev.proxmox_sim.machine import Power
from defib_operator.proxmox import (
    AgentPing,
    GuestKind,
    PowerStatus,
    ProxmoxClient,
    ProxmoxForbidden,
    ProxmoxNodeUnreachable,
    ProxmoxNotFound,
    ProxmoxUnauthorized,
    ProxmoxUnreachable,
)
from support.proxmox import SECRET, RunningSimulator
from support.waiting import eventually_async


def change(simulator: RunningSimulator, **changes: object) -> None:
    change_guest(simulator.dc, 100, changes, datetime.now(UTC))


@pytest.mark.parametrize(
    "power", [power for power in Power if power not in {Power.RUNNING, Power.STOPPED}]
)
async def test_a_vm_whose_processors_stand_still_is_running_with_its_run_state(
    simulator: RunningSimulator, client: ProxmoxClient, power: Power
) -> None:
    simulator.guest(power=power.value)
    look = await client.look("pve1", 100)
    assert (look.power, look.qmpstatus) == (PowerStatus.RUNNING, power.value)


async def test_a_hung_qemu_claims_to_be_running(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest(power="internal-error")
    change(simulator, qmpHung=True)
    assert (await client.look("pve1", 100)).qmpstatus == "running"


@pytest.mark.parametrize(
    "changes",
    [
        {"reboot": False},
        {"confidential": "amd-sev"},
        {"confidential": "intel-tdx"},
        {"args": "-cpu host -no-reboot"},
    ],
)
async def test_a_reset_that_would_switch_the_guest_off_is_foreseen(
    simulator: RunningSimulator, client: ProxmoxClient, changes: dict[str, object]
) -> None:
    simulator.guest()
    assert not (await client.look("pve1", 100)).reset_switches_off
    change(simulator, **changes)
    assert (await client.look("pve1", 100)).reset_switches_off
    await client.post_power("pve1", 100, PowerStep.RESET)

    async def is_stopped() -> bool:
        return (await client.look("pve1", 100)).power is PowerStatus.STOPPED

    await eventually_async(is_stopped, what="the reset ends the QEMU process")


async def test_ha_template_and_lock_are_told(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    look = await client.look("pve1", 100)
    assert (look.ha_managed, look.ha_state, look.template, look.lock) == (False, None, False, None)
    change(simulator, ha="error", lock="migrate", template=True)
    look = await client.look("pve1", 100)
    assert (look.ha_managed, look.ha_state) == (True, "error")
    assert (look.template, look.lock) == (True, "migrate")
    row = (await client.inventory()).find(100)
    assert row is not None
    assert (row.ha_state, row.template, row.lock) == ("error", True, "migrate")


async def test_counters_grow_while_the_guest_lives_and_uptime_survives_a_reset(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    guest = simulator.guest()
    guest.simulated.process_since = datetime.now(UTC) - timedelta(hours=1)

    async def has_written() -> int | None:
        return (await client.look("pve1", 100)).counters.disk_write

    await eventually_async(has_written, what="a living guest writes to its disk")
    await client.post_power("pve1", 100, PowerStep.RESET)

    async def was_reset() -> bool:
        await client.inventory()
        return guest.machine.resets == 1

    await eventually_async(was_reset, what="the reset is carried out")
    uptime = (await client.look("pve1", 100)).uptime_seconds
    assert uptime is not None
    assert uptime >= 3600


async def test_a_container_is_listed_as_such_and_has_no_qemu_configuration(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest(kind="lxc")
    row = (await client.inventory()).find(100)
    assert row is not None
    assert row.kind is GuestKind.LXC
    with pytest.raises(ProxmoxNotFound):
        await client.look("pve1", 100)


async def test_the_guest_agent_may_be_silent_missing_or_none_of_our_business(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    assert await client.agent_ping("pve1", 100) is AgentPing.ANSWERED
    change(simulator, frozen=True)
    assert await client.agent_ping("pve1", 100) is AgentPing.SILENT
    change(simulator, power="stopped")
    assert await client.agent_ping("pve1", 100) is AgentPing.SILENT
    change(simulator, agent=False)
    assert await client.agent_ping("pve1", 100) is AgentPing.NOT_CONFIGURED
    assert await client.agent_ping("pve2", 100) is AgentPing.UNKNOWN
    simulator.dc.mode = ApiMode.FORBIDDEN
    assert await client.agent_ping("pve1", 100) is AgentPing.FORBIDDEN


async def test_a_token_without_rights_gets_an_empty_list_and_a_403_for_the_vm(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    simulator.dc.mode = ApiMode.FORBIDDEN
    inventory = await client.inventory()
    assert inventory.vms == ()
    assert inventory.empty_is_suspicious
    assert inventory.quorate is None
    assert "Permission check failed (/, Sys.Audit)" in inventory.unreadable["quorate"]
    with pytest.raises(ProxmoxForbidden, match=r"Permission check failed \(/vms/100, VM\.Audit\)"):
        await client.look("pve1", 100)


async def test_the_list_may_be_empty_while_the_vm_is_there(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    simulator.dc.mode = ApiMode.EMPTY
    assert (await client.inventory()).empty_is_suspicious
    assert (await client.look("pve1", 100)).power is PowerStatus.RUNNING


async def test_a_wrong_secret_is_unauthorized_and_stands_in_no_text(
    simulator: RunningSimulator,
) -> None:
    wrong = SECRET[::-1]
    async with simulator.client(token_secret=wrong) as client:
        with pytest.raises(ProxmoxUnauthorized) as raised:
            await client.inventory()
    chain: BaseException | None = raised.value
    while chain is not None:
        assert wrong not in f"{chain} {chain!r}"
        chain = chain.__cause__


async def test_an_unknown_node_is_no_statement_about_the_vm(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    with pytest.raises(ProxmoxNodeUnreachable, match="hostname lookup 'pve9' failed"):
        await client.look("pve9", 100)


async def test_an_api_that_is_away_is_unreachable_and_comes_back(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    assert (await client.inventory()).vms == ()
    simulator.dc.mode = ApiMode.UNREACHABLE
    await simulator.simulator.follow_mode()
    with pytest.raises(ProxmoxUnreachable, match="refused"):
        await client.inventory()
    simulator.dc.mode = ApiMode.OK
    await simulator.simulator.follow_mode()
    assert (await client.inventory()).vms == ()


async def test_a_single_node_has_nobody_to_agree_with_and_is_quorate(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    del simulator.dc.nodes["pve2"]
    assert (await client.inventory()).quorate is True


async def test_a_slow_api_is_a_timeout(simulator: RunningSimulator) -> None:
    simulator.dc.timing.latency = timedelta(seconds=30)
    async with simulator.client(read_timeout=timedelta(milliseconds=200)) as client:
        with pytest.raises(ProxmoxUnreachable, match="no answer in time"):
            await client.inventory()
