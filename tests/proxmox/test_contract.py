"""What the client takes for granted of Proxmox, held against three clusters.

Only what fakepve models as Proxmox does; its known differences are listed in docs/proxmox.md, and
tested against our simulator alone in `test_power_outcomes` and `test_looks`.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from defib_core.domain.actions import PowerStep
from defib_operator.proxmox import (
    Accepted,
    AgentPing,
    Finished,
    GuestKind,
    PowerStatus,
    ProxmoxNodeUnreachable,
    ProxmoxNotFound,
    Refused,
    TaskState,
    Unknown,
    Upid,
)
from support.proxmox_witnesses import UUID_TEXT, WITNESSES, Witness
from support.waiting import eventually_async


@pytest.fixture(params=sorted(WITNESSES))
async def cluster(request: pytest.FixtureRequest, authority_folder: Path) -> AsyncIterator[Witness]:
    """pve1 and pve2; VM 100 runs on pve1."""
    async with WITNESSES[request.param](authority_folder) as witness:
        witness.add(100, "web-0", node="pve1", running=True)
        yield witness


async def end_of(cluster: Witness, upid: Upid) -> TaskState:
    async def ended() -> TaskState | None:
        state = await cluster.client.task_status(upid)
        return state if isinstance(state, Finished | Unknown) else None

    state = await eventually_async(ended, what=f"task {upid} ends")
    assert state is not None
    return state


async def carried_out(cluster: Witness, step: PowerStep) -> Upid:
    outcome = await cluster.client.post_power("pve1", 100, step)
    assert isinstance(outcome, Accepted), outcome
    assert await end_of(cluster, outcome.upid) == Finished("OK", ok=True)
    return outcome.upid


async def test_the_inventory_names_vms_nodes_and_quorum(cluster: Witness) -> None:
    cluster.add(101, "web-1", node="pve2", running=False)
    inventory = await cluster.client.inventory()
    assert [(vm.vmid, vm.node, vm.name, vm.status) for vm in inventory.vms] == [
        (100, "pve1", "web-0", PowerStatus.RUNNING),
        (101, "pve2", "web-1", PowerStatus.STOPPED),
    ]
    assert {vm.kind for vm in inventory.vms} == {GuestKind.QEMU}
    assert inventory.nodes == {"pve1": True, "pve2": True}
    assert inventory.quorate is True
    assert inventory.version is not None
    assert inventory.version.startswith("9.")
    assert inventory.unreadable == {}


async def test_the_inventory_shows_locks_templates_and_lost_quorum(cluster: Witness) -> None:
    cluster.lock(100, "backup")
    cluster.add(101, "golden", node="pve2", running=False)
    cluster.make_template(101)
    cluster.lose_quorum()
    inventory = await cluster.client.inventory()
    running, template = inventory.find(100), inventory.find(101)
    assert running is not None
    assert template is not None
    assert (running.lock, running.template) == ("backup", False)
    assert (template.lock, template.template) == (None, True)
    assert inventory.quorate is False


async def test_a_node_that_is_away_is_offline_in_the_inventory(cluster: Witness) -> None:
    cluster.take_away("pve1")
    assert (await cluster.client.inventory()).nodes == {"pve1": False, "pve2": True}


async def test_a_look_has_power_identity_and_lock(cluster: Witness) -> None:
    look = await cluster.client.look("pve1", 100)
    assert (look.power, look.qmpstatus, look.lock) == (PowerStatus.RUNNING, "running", None)
    assert (look.name, look.smbios_uuid) == ("web-0", UUID(UUID_TEXT))
    assert not look.template
    assert look.agent_configured
    assert not look.reset_switches_off
    cluster.lock(100, "snapshot")
    assert (await cluster.client.look("pve1", 100)).lock == "snapshot"


async def test_a_reset_works_and_leaves_the_vm_running(cluster: Witness) -> None:
    upid = await carried_out(cluster, PowerStep.RESET)
    assert (upid.node, upid.task_type, upid.task_id) == ("pve1", "qmreset", "100")
    assert (await cluster.client.task_log_tail(upid))[-1] == "TASK OK"
    assert (await cluster.client.look("pve1", 100)).power is PowerStatus.RUNNING


async def test_stop_and_start_work(cluster: Witness) -> None:
    assert (await carried_out(cluster, PowerStep.STOP)).task_type == "qmstop"
    assert (await cluster.client.look("pve1", 100)).power is PowerStatus.STOPPED
    assert (await carried_out(cluster, PowerStep.START)).task_type == "qmstart"
    assert (await cluster.client.look("pve1", 100)).power is PowerStatus.RUNNING


async def test_a_stopped_vm_cannot_be_reset(cluster: Witness) -> None:
    cluster.add(101, "web-1", node="pve1", running=False)
    outcome = await cluster.client.post_power("pve1", 101, PowerStep.RESET)
    assert outcome == Refused("500 VM 101 not running", 500)


async def test_without_quorum_a_start_is_refused(cluster: Witness) -> None:
    cluster.add(101, "web-1", node="pve1", running=False)
    cluster.lose_quorum()
    outcome = await cluster.client.post_power("pve1", 101, PowerStep.START)
    assert outcome == Refused("500 cluster not ready - no quorum?", 500)


async def test_starting_a_locked_vm_fails_in_the_task(cluster: Witness) -> None:
    cluster.add(101, "web-1", node="pve1", running=False)
    cluster.lock(101, "snapshot")
    outcome = await cluster.client.post_power("pve1", 101, PowerStep.START)
    assert isinstance(outcome, Accepted), outcome
    assert await end_of(cluster, outcome.upid) == Finished("VM is locked (snapshot)", ok=False)


async def test_a_vm_that_moved_is_not_found_on_its_old_node(cluster: Witness) -> None:
    cluster.move(100, "pve2")
    with pytest.raises(ProxmoxNotFound, match=r"nodes/pve1/qemu-server/100\.conf"):
        await cluster.client.look("pve1", 100)
    outcome = await cluster.client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, Refused)
    moved = (await cluster.client.inventory()).find(100)
    assert moved is not None
    assert moved.node == "pve2"


async def test_a_node_that_is_away_answers_595_to_all(cluster: Witness) -> None:
    cluster.take_away("pve1")
    with pytest.raises(ProxmoxNodeUnreachable) as raised:
        await cluster.client.look("pve1", 100)
    assert raised.value.status == 595
    outcome = await cluster.client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, Refused)
    assert outcome.status == 595
    assert await cluster.client.agent_ping("pve1", 100) is AgentPing.UNKNOWN


async def test_the_guest_agent_answers_until_it_hangs(cluster: Witness) -> None:
    assert await cluster.client.agent_ping("pve1", 100) is AgentPing.ANSWERED
    cluster.hang_guest_agent(100)
    assert await cluster.client.agent_ping("pve1", 100) is AgentPing.SILENT


async def test_a_task_is_found_again_by_vm_type_and_time(cluster: Witness) -> None:
    upid = await carried_out(cluster, PowerStep.RESET)
    since = upid.started_at
    assert await cluster.client.find_task("pve1", 100, "qmreset", since) == upid
    assert await cluster.client.find_task("pve1", 100, "qmstop", since) is None
    assert await cluster.client.find_task("pve1", 999, "qmreset", since) is None
    later = datetime.now(UTC) + timedelta(minutes=5)
    assert await cluster.client.find_task("pve1", 100, "qmreset", later) is None


async def test_a_task_nobody_knows_is_unknown_not_finished(cluster: Witness) -> None:
    upid = Upid.parse("UPID:pve1:0000BEEF:0000BEEF:65000000:qmreset:100:root@pam:")
    assert upid is not None
    assert isinstance(await cluster.client.task_status(upid), Unknown)
