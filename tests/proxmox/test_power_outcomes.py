"""What becomes of a POST: surely not executed, accepted, or unknown. Over real HTTPS."""

from datetime import UTC, datetime, timedelta

import pytest

from defib_core.domain.actions import PowerStep
from defib_dev.proxmox_sim.faults import ApiMode, PostFault
from defib_operator.proxmox import (
    Accepted,
    Finished,
    OutcomeUnknown,
    ProxmoxClient,
    Refused,
    Running,
    Unknown,
    Upid,
)
from support.proxmox import SECRET, TOKEN_ID, RunningSimulator
from support.waiting import eventually_async

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def accepted(client: ProxmoxClient, step: PowerStep, vmid: int = 100) -> Upid:
    outcome = await client.post_power("pve1", vmid, step)
    assert isinstance(outcome, Accepted), outcome
    return outcome.upid


async def finished(client: ProxmoxClient, upid: Upid) -> Finished:
    async def ended() -> Finished | None:
        state = await client.task_status(upid)
        assert not isinstance(state, Unknown), state
        return state if isinstance(state, Finished) else None

    state = await eventually_async(ended, what=f"task {upid} ends")
    assert state is not None
    return state


async def test_a_reset_is_accepted_and_its_task_says_ok(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    upid = await accepted(client, PowerStep.RESET)
    assert (upid.node, upid.task_type, upid.task_id) == ("pve1", "qmreset", "100")
    assert upid.user == TOKEN_ID
    assert await finished(client, upid) == Finished("OK", ok=True)


async def test_a_task_is_running_until_its_work_is_done(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    simulator.dc.timing.task = timedelta(hours=1)
    assert await client.task_status(await accepted(client, PowerStep.RESET)) == Running()


@pytest.mark.parametrize("step", [PowerStep.RESET, PowerStep.STOP])
async def test_a_locked_vm_fails_in_the_task_not_in_http(
    simulator: RunningSimulator, client: ProxmoxClient, step: PowerStep
) -> None:
    simulator.guest().lock = "backup"
    upid = await accepted(client, step)
    assert await finished(client, upid) == Finished("VM is locked (backup)", ok=False)
    assert (await client.task_log_tail(upid))[-1] == "TASK ERROR: VM is locked (backup)"


async def test_warnings_are_a_success(simulator: RunningSimulator, client: ProxmoxClient) -> None:
    simulator.guest()
    simulator.dc.next_posts.append(PostFault.TASK_WARNINGS)
    upid = await accepted(client, PowerStep.RESET)
    assert await finished(client, upid) == Finished("WARNINGS: 1", ok=True)


async def test_a_killed_worker_is_a_failure(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    simulator.dc.next_posts.append(PostFault.TASK_KILLED)
    upid = await accepted(client, PowerStep.RESET)
    assert await finished(client, upid) == Finished("unexpected status", ok=False)


async def test_a_stopped_vm_is_refused_with_proxmoxs_words(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest(power="stopped")
    outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert outcome == Refused("500 VM 100 not running", 500)


async def test_a_vm_that_moved_is_refused(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest(node="pve2")
    outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    text = "500 unable to find configuration file for VM 100 on node 'pve1'"
    assert outcome == Refused(text, 500)


async def test_a_node_that_is_away_surely_did_nothing(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    simulator.dc.set_online("pve1", online=False, now=datetime.now(UTC))
    outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert outcome == Refused("595 No route to host", 595)


async def test_a_missing_right_is_refused_naming_the_right(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    simulator.dc.mode = ApiMode.FORBIDDEN
    outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert outcome == Refused("403 Permission check failed (/vms/100, VM.PowerMgmt)", 403)


async def test_a_wrong_secret_is_refused_and_stands_in_no_text(
    simulator: RunningSimulator,
) -> None:
    simulator.guest()
    async with simulator.client(token_secret=SECRET[::-1]) as client:
        outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, Refused)
    assert outcome.status == 401
    assert SECRET[::-1] not in repr(outcome)
    assert simulator.dc.posts == []


async def test_nobody_listening_is_surely_not_executed(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    simulator.dc.mode = ApiMode.UNREACHABLE
    await simulator.simulator.follow_mode()
    outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, Refused), outcome
    assert outcome.status is None
    assert "refused" in outcome.text


@pytest.mark.parametrize(
    ("fault", "is_executed"),
    [
        (PostFault.TIMEOUT_EXECUTED, True),
        (PostFault.TIMEOUT_NOT_EXECUTED, False),
        (PostFault.DROPPED, True),
        (PostFault.DROPPED_NOT_EXECUTED, False),
        (PostFault.HTML_200, False),
        (PostFault.FOREIGN_UPID, False),
    ],
)
async def test_what_proves_nothing_is_unknown_and_the_task_list_tells(
    simulator: RunningSimulator, fault: PostFault, is_executed: bool
) -> None:
    guest = simulator.guest()
    simulator.dc.next_posts.append(fault)
    async with simulator.client(post_timeout=timedelta(milliseconds=300)) as client:
        outcome = await client.post_power("pve1", 100, PowerStep.RESET)
        found = await client.find_task("pve1", 100, "qmreset", LONG_AGO)
    assert isinstance(outcome, OutcomeUnknown), outcome
    assert outcome.text
    assert len(simulator.dc.posts) == 1
    assert (found is not None) == is_executed
    if is_executed:
        assert isinstance(found, Upid)
        assert found.text == simulator.dc.posts[0].upid
    assert guest.machine.resets <= int(is_executed)


async def test_a_500_of_proxmox_is_surely_not_executed(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    simulator.dc.next_posts.append(PostFault.HTTP_500)
    outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert outcome == Refused("500 got no worker upid - start worker failed", 500)


async def test_without_quorum_only_a_start_is_refused(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    simulator.guest(101, "web-1", power="stopped")
    simulator.dc.mode = ApiMode.NO_QUORUM
    assert await finished(client, await accepted(client, PowerStep.RESET)) == Finished(
        "OK", ok=True
    )
    outcome = await client.post_power("pve1", 101, PowerStep.START)
    assert outcome == Refused("500 cluster not ready - no quorum?", 500)


async def test_stop_and_start_of_an_ha_managed_vm_are_taken_as_has(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    guest = simulator.guest()
    guest.ha = "started"
    upid = await accepted(client, PowerStep.STOP)
    assert upid.task_type == "hastop"
    assert await finished(client, upid) == Finished("OK", ok=True)

    async def is_stopped() -> bool:
        return (await client.look("pve1", 100)).power.value == "stopped"

    await eventually_async(is_stopped, what="the HA manager stops the VM")
    assert (await accepted(client, PowerStep.START)).task_type == "hastart"


async def test_an_hour_of_nothing_has_no_task(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    await accepted(client, PowerStep.RESET)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await client.find_task("pve1", 100, "qmreset", later) is None
    assert await client.find_task("pve1", 101, "qmreset", LONG_AGO) is None
    assert await client.find_task("pve1", 100, "qmstop", LONG_AGO) is None


async def test_a_reset_by_somebody_else_is_not_taken_for_ours(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    simulator.dc.advance(datetime.now(UTC))
    simulator.dc.begin_task(node="pve1", task_type="qmreset", vmid=100, user="root@pam")
    assert await client.find_task("pve1", 100, "qmreset", LONG_AGO) is None
    ours = await accepted(client, PowerStep.RESET)
    assert await client.find_task("pve1", 100, "qmreset", LONG_AGO) == ours


async def test_a_task_nobody_knows_and_a_node_that_is_away_are_unknown(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest()
    upid = await accepted(client, PowerStep.RESET)
    simulator.dc.set_online("pve1", online=False, now=datetime.now(UTC))
    away = await client.task_status(upid)
    assert isinstance(away, Unknown)
    assert "No route to host" in away.text
    foreign = Upid.parse(upid.text.replace("pve1", "pve2"))
    assert foreign is not None
    lost = await client.task_status(foreign)
    assert isinstance(lost, Unknown)
    assert "no such task" in lost.text
    assert isinstance(await client.find_task("pve1", 100, "qmreset", LONG_AGO), Unknown)
