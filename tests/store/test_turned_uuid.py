"""A machine whose firmware shows its SMBIOS UUID with the first three parts' bytes turned round.

It is the VM that has the UUID in Proxmox. A turned UUID that a guest alone told proves nothing.
"""

from datetime import timedelta
from uuid import UUID

import pytest

from defib_core.store import registry
from defib_core.store.rejections import Rejection, record_rejections
from support.stored import Stored

IN_PROXMOX = "4c4c4544-0042-3510-8052-b4c04f4e4d32"
TURNED = "44454c4c-4200-1035-8052-b4c04f4e4d32"
ANOTHER = "44454c4c-4200-1035-8052-b4c04f4e4d33"
HALF_TURNED = "44454c4c-0042-3510-8052-b4c04f4e4d32"


async def vm_with(stored: Stored, vmid: int, pinned: str | None, said: str | None = None) -> int:
    """A VM with a UUID in Proxmox, and what its guest said."""
    vm_id = await stored.agent_vm(vmid, smbios_uuid=said)
    await stored.execute("UPDATE vm SET pinned_uuid = :uuid WHERE id = :vm", uuid=pinned, vm=vm_id)
    return vm_id


async def found(stored: Stored, uuid: str) -> tuple[int, ...]:
    return await registry.vmids_of_uuid(stored.connection, await stored.cluster_id(), uuid)


async def alive(stored: Stored, uuid: str, vmid: int | None = None) -> list[int]:
    """The VMs for which a refused report is a sign of life."""
    one = Rejection(await stored.cluster_id(), vmid, uuid, "x", timedelta(0))
    await record_rejections(stored.connection, [one], stored.now)
    rows = await stored.execute(
        "SELECT v.vmid FROM report_rejection r JOIN vm v ON v.id = r.vm_id ORDER BY 1"
    )
    return [row.vmid for row in rows]


def test_the_forms_are_those_of_one_uuid() -> None:
    assert UUID(bytes=UUID(IN_PROXMOX).bytes_le) == UUID(TURNED)


@pytest.mark.parametrize("pinned", [IN_PROXMOX, TURNED])
async def test_it_is_found_by_either_form(stored: Stored, pinned: str) -> None:
    await vm_with(stored, 100, pinned)
    for uuid in (IN_PROXMOX, TURNED, TURNED.upper()):
        assert await found(stored, uuid) == (100,), uuid
    for uuid in (ANOTHER, HALF_TURNED):
        assert await found(stored, uuid) == (), uuid


async def test_it_is_not_found_in_another_cluster(stored: Stored) -> None:
    await vm_with(stored, 100, IN_PROXMOX)
    other = await stored.cluster_id() + 1
    assert await registry.vmids_of_uuid(stored.connection, other, TURNED) == ()


async def test_two_vms_with_the_two_forms_are_not_told_apart(stored: Stored) -> None:
    """Either may be the machine, so neither passes for the other: the vmid has to be set."""
    await vm_with(stored, 100, IN_PROXMOX)
    await vm_with(stored, 101, TURNED)
    for uuid in (IN_PROXMOX, TURNED):
        assert sorted(await found(stored, uuid)) == [100, 101]


async def test_what_a_guest_alone_told_is_not_turned(stored: Stored) -> None:
    """Else a guest that tells the turned form makes the other VM's lookup ambiguous."""
    await vm_with(stored, 100, IN_PROXMOX)
    await vm_with(stored, 101, None, said=TURNED)
    assert await found(stored, IN_PROXMOX) == (100,)


@pytest.mark.parametrize("vmid", [None, 100])
@pytest.mark.parametrize("uuid", [IN_PROXMOX, TURNED])
async def test_its_refused_report_is_its_sign_of_life(
    stored: Stored, uuid: str, vmid: int | None
) -> None:
    await vm_with(stored, 100, IN_PROXMOX)
    await vm_with(stored, 101, ANOTHER)
    assert await alive(stored, uuid, vmid) == [100]


@pytest.mark.parametrize("vmid", [None, 100])
@pytest.mark.parametrize("uuid", [ANOTHER, HALF_TURNED])
async def test_a_strangers_refused_report_is_none(
    stored: Stored, uuid: str, vmid: int | None
) -> None:
    await vm_with(stored, 100, IN_PROXMOX)
    assert await alive(stored, uuid, vmid) == []


async def test_no_sign_of_life_by_the_turned_form_of_what_a_guest_told(stored: Stored) -> None:
    await vm_with(stored, 101, None, said=TURNED)
    assert await alive(stored, IN_PROXMOX) == []


async def test_where_either_vm_may_have_sent_it_both_are_spared(stored: Stored) -> None:
    """One of them is alive: a reset of the wrong one is worse than one that waits."""
    await vm_with(stored, 100, IN_PROXMOX)
    await vm_with(stored, 101, TURNED)
    assert await alive(stored, TURNED) == [100, 101]


async def test_a_vmid_says_which_of_the_two_it_is(stored: Stored) -> None:
    await vm_with(stored, 100, IN_PROXMOX)
    await vm_with(stored, 101, TURNED)
    assert await alive(stored, TURNED, 101) == [101]
