"""What Proxmox's list says of our VMs, and the UUID that pins who a VM is."""

import pytest

from defib_core.store import clusters
from defib_core.store.clusters import Placed, Seen, Unpinned
from support.stored import LONG_AGO, MINUTE, Stored

UUID = "4c4c4544-0042-3510-8052-b4c04f4e4d32"


def placed(vmid: int, **changes: object) -> Placed:
    seen = {"node": "pve1", "is_qemu": True, "state": "running", "busy": False, **changes}
    return Placed(vmid=vmid, **seen)  # type: ignore[arg-type]  # one dictionary, five types


async def place(stored: Stored, *found: Placed) -> None:
    cluster_id = await stored.cluster_id()
    await clusters.place(stored.connection, cluster_id, found, stored.now)


async def test_what_was_seen_of_a_cluster_is_kept(stored: Stored) -> None:
    seen = Seen(
        reachable=True,
        version="9.0.1",
        quorate=True,
        nodes={"pve2": None, "pve1": True},
        token_missing=("VM.Audit",),
        message="a token lacks rights",
    )
    cluster_id = await stored.cluster_id()
    await clusters.saw(stored.connection, cluster_id, seen, stored.now)
    row = (await stored.execute("SELECT * FROM proxmox_cluster"))[0]
    assert (row.reachable, row.version, row.quorate) == (True, "9.0.1", True)
    assert row.nodes == [{"name": "pve1", "online": True}, {"name": "pve2", "online": None}]
    assert (row.token_missing, row.message) == (["VM.Audit"], "a token lacks rights")
    assert row.checked_at == stored.now


async def test_the_version_outlives_an_outage(stored: Stored) -> None:
    cluster_id = await stored.cluster_id()
    there = Seen(
        reachable=True, version="9", quorate=True, nodes={}, token_missing=(), message=None
    )
    away = Seen(
        reachable=False, version=None, quorate=None, nodes={}, token_missing=(), message="away"
    )
    await clusters.saw(stored.connection, cluster_id, there, stored.now)
    await clusters.saw(stored.connection, cluster_id, away, stored.now)
    row = (await stored.execute("SELECT * FROM proxmox_cluster"))[0]
    assert (row.reachable, row.version, row.quorate) == (False, "9", None)


async def test_a_vm_is_where_the_list_shows_it(stored: Stored) -> None:
    vm_id = await stored.vm(100)
    await place(stored, placed(100, node="pve2"), placed(999))
    assert (await stored.record(vm_id)).node == "pve2"


async def test_a_vm_that_moved_is_shown_so_and_one_that_did_not_is_not_written(
    stored: Stored,
) -> None:
    moved, stayed = await stored.vm(100), await stored.vm(101)
    await place(stored, placed(100), placed(101))
    await stored.execute("DELETE FROM status_outbox")
    await place(stored, placed(100, node="pve2"), placed(101))
    queued = await stored.execute("SELECT vm_id FROM status_outbox")
    assert [row.vm_id for row in queued] == [moved]
    assert (await stored.record(stayed)).node == "pve1"


async def test_a_container_is_not_accepted(stored: Stored) -> None:
    vm_id = await stored.vm(100)
    await place(stored, placed(100, is_qemu=False))
    assert (await stored.record(vm_id)).rejected == "NotQemu"


async def test_an_id_that_is_a_vm_again_is_accepted(stored: Stored) -> None:
    vm_id = await stored.vm(100)
    await place(stored, placed(100, is_qemu=False))
    await place(stored, placed(100))
    row = await stored.record(vm_id)
    assert (row.rejected, row.rejected_message) == (None, None)


async def test_being_a_vm_forgives_no_other_fault(stored: Stored) -> None:
    vm_id = await stored.vm(100, config="missing")
    await place(stored, placed(100))
    assert (await stored.record(vm_id)).rejected == "ConfigNotFound"


async def test_one_that_can_report_again_has_its_clock_started(stored: Stored) -> None:
    vm_id = await stored.reporting_vm(vmid=100)
    await place(stored, placed(100, busy=True))
    await stored.move(MINUTE)
    await place(stored, placed(100, busy=True))
    assert (await stored.state(vm_id)).clock_floor == LONG_AGO
    await place(stored, placed(100))
    assert (await stored.state(vm_id)).clock_floor == stored.now
    restarted = stored.now
    await stored.move(MINUTE)
    await place(stored, placed(100))
    assert (await stored.state(vm_id)).clock_floor == restarted


async def test_other_clusters_are_left_alone(stored: Stored) -> None:
    vm_id = await stored.vm(100)
    await stored.execute("INSERT INTO proxmox_cluster (namespace, name) VALUES ('defib', 'b')")
    other = await stored.value("SELECT id FROM proxmox_cluster WHERE name = 'b'")
    await clusters.place(stored.connection, other, [placed(100, node="elsewhere")], stored.now)
    assert (await stored.record(vm_id)).node is None


async def test_a_vm_that_is_not_listed_is_gone_unless_nothing_is_listed(stored: Stored) -> None:
    vm_id = await stored.vm(100)
    await place(stored)
    assert (await stored.record(vm_id)).proxmox_state is None
    await place(stored, placed(101))
    assert (await stored.record(vm_id)).proxmox_state == "gone"
    await place(stored, placed(100))
    assert (await stored.record(vm_id)).proxmox_state == "running"


# pinned


async def test_a_vm_is_pinned_at_first_sight_and_never_again(stored: Stored) -> None:
    vm_id = await stored.vm(100)
    await clusters.pin(stored.connection, vm_id, UUID)
    await clusters.pin(stored.connection, vm_id, "11111111-2222-3333-4444-555555555555")
    assert str((await stored.record(vm_id)).pinned_uuid) == UUID


@pytest.mark.parametrize("limit", [1, 10])
async def test_managed_vms_that_were_placed_wait_to_be_pinned(stored: Stored, limit: int) -> None:
    cluster_id = await stored.cluster_id()
    waiting = await stored.vm(100)
    await stored.vm(101)
    pinned = await stored.vm(102)
    await stored.agent_vm(103)
    await stored.vm(104)
    await place(stored, placed(100), placed(102), placed(103), placed(104, is_qemu=False))
    await clusters.pin(stored.connection, pinned, UUID)
    found = await clusters.unpinned(stored.connection, cluster_id, limit)
    assert found == [Unpinned(waiting, 100, "pve1")]
