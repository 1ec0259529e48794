"""Two machines behind one VM: suspected when boot ids come back, and never flapped."""

import msgspec
import pytest

from defib_core.domain.explain import explain
from defib_core.domain.explain_text import text_of
from defib_core.store import clones, registry
from defib_core.store.clones import SUSPECTED_FOR
from defib_core.store.explain import facts_of
from defib_core.store.registry import ReportedIdentity
from support.stored import SECOND, Stored


async def say(stored: Stored, vm_id: int, boots: str, **changes: object) -> None:
    """Report with each boot id in turn, half an interval apart."""
    for boot in boots:
        await stored.move(15 * SECOND)
        await stored.report(vm_id, boot_id=f"boot-{boot}", **changes)


async def is_suspected(stored: Stored, vm_id: int) -> bool:
    return (await stored.state(vm_id)).clone_since is not None


@pytest.mark.parametrize(
    ("boots", "suspected"),
    [
        ("aaaa", False),
        ("aabbccdd", False),  # a VM that reboots again and again
        ("abbb", False),
        ("aba", False),  # one return: a snapshot was taken back to, or a report was late
        ("abab", True),
        ("aabbaabb", True),
        ("abcabc", True),  # three of them
    ],
)
async def test_a_clone_is_suspected_when_boot_ids_come_back_twice(
    stored: Stored, boots: str, suspected: bool
) -> None:
    vm_id = await stored.vm()
    await say(stored, vm_id, boots)
    assert await is_suspected(stored, vm_id) is suspected


async def test_returns_that_lie_far_apart_are_no_suspicion(stored: Stored) -> None:
    vm_id = await stored.vm()
    await say(stored, vm_id, "aba")
    await stored.move(SUSPECTED_FOR)
    await say(stored, vm_id, "bb")
    assert not await is_suspected(stored, vm_id)


async def test_reports_without_a_boot_id_say_nothing_of_clones(stored: Stored) -> None:
    vm_id = await stored.vm()
    await say(stored, vm_id, "ab")
    await stored.report(vm_id, boot_id=None)
    assert not await is_suspected(stored, vm_id)
    assert (await stored.state(vm_id)).boot_id == "boot-b"


async def test_a_suspicion_is_told_once_and_ends_when_nothing_confirms_it(stored: Stored) -> None:
    vm_id = await stored.vm()
    await say(stored, vm_id, "aba")
    await stored.execute("DELETE FROM status_outbox")
    await say(stored, vm_id, "b")
    told = "SELECT count(*) FROM status_outbox WHERE vm_id = :vm"
    assert await stored.value(told, vm=vm_id) == 1
    await say(stored, vm_id, "abab")
    assert await stored.value(told, vm=vm_id) == 1

    assert await clones.end_what_is_over(stored.connection, stored.now) == 0
    await stored.move(SUSPECTED_FOR)
    assert await clones.end_what_is_over(stored.connection, stored.now) == 1
    assert not await is_suspected(stored, vm_id)
    assert await stored.value(told, vm=vm_id) == 2


async def test_a_busy_and_an_idle_machine_do_not_flap_the_state(stored: Stored) -> None:
    vm_id = await stored.vm()
    await say(stored, vm_id, "abab")
    before = len(await stored.transitions(vm_id))
    for _ in range(4):
        await say(stored, vm_id, "a", cpu=99.0)
        await say(stored, vm_id, "b", cpu=1.0)
    assert (await stored.transitions(vm_id))[before:] == [
        ("healthy", "warning", "ThresholdExceeded")
    ]
    await stored.move(SUSPECTED_FOR)
    await clones.end_what_is_over(stored.connection, stored.now)
    await say(stored, vm_id, "b", cpu=1.0)
    assert (await stored.state(vm_id)).state == "healthy"


async def test_neither_machine_renames_the_vm(stored: Stored) -> None:
    vm_id = await stored.agent_vm(vmid=100, hostname="web-01")
    await say(stored, vm_id, "abab")
    said = ReportedIdentity(await stored.cluster_id(), 100, "web-01", None, None, None)
    for name in ("web-01-copy", "web-01", "web-01-copy"):
        await registry.find_or_create(
            stored.connection, msgspec.structs.replace(said, hostname=name)
        )
        assert (await stored.record(vm_id)).hostname == "web-01"


async def test_the_explanation_names_it_and_what_to_do(stored: Stored) -> None:
    vm_id = await stored.vm()
    await say(stored, vm_id, "abab")
    facts = await facts_of(stored.connection, vm_id, stored.now)
    assert facts is not None
    told = text_of(explain(facts))
    assert "WARNING: two machines seem to report as this VM" in told
    assert "stop the agent in the copy" in told


async def test_the_fullest_disk_is_kept_until_it_is_the_root_again(stored: Stored) -> None:
    vm_id = await stored.vm()
    await stored.report(vm_id, worst_disk="/var", worst_disk_percent=91.5)
    state = await stored.state(vm_id)
    assert (state.worst_disk, state.worst_disk_percent) == ("/var", 91.5)
    await stored.move(SECOND)
    await stored.report(vm_id)
    state = await stored.state(vm_id)
    assert (state.worst_disk, state.worst_disk_percent) == (None, None)
