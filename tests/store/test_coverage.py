"""What Proxmox lists is kept, and what is not covered is told from it."""

from typing import Any

import pytest

from defib_core.config.conditions import ReadyReason
from defib_core.domain.reasons import CancelReason, HoldReason
from defib_core.store import coverage, inventory
from defib_core.store.coverage import Coverage
from defib_core.store.inventory import Guest
from support.inventory import guest
from support.stored import MINUTE, Stored

WORDS = {*HoldReason, *ReadyReason, *CancelReason, coverage.DRY_RUN}


async def listed(stored: Stored, *guests: Guest) -> None:
    """Proxmox lists these, and answers."""
    await stored.execute("UPDATE proxmox_cluster SET spec = '{}', reachable = true")
    await inventory.keep(stored.connection, await stored.cluster_id(), guests, stored.now)


async def covered(stored: Stored) -> Coverage:
    return await coverage.coverage(stored.connection, stored.now)


async def reason_of(stored: Stored, vm_id: int) -> str | None:
    """Why this VM would not be reset."""
    found = [one for one in (await covered(stored)).not_resettable if one.vm_id == vm_id]
    assert all(one.reason in WORDS and one.message for one in found)
    return found[0].reason if found else None


# the inventory


async def test_what_is_listed_is_kept_and_what_is_not_is_forgotten(stored: Stored) -> None:
    await listed(stored, guest(100), guest(101, kind="lxc", name=None))
    await stored.move(MINUTE)
    await listed(stored, guest(101, node="pve2"), guest(102))
    rows = await stored.execute("SELECT vmid, node, kind FROM proxmox_guest ORDER BY vmid")
    assert [tuple(row) for row in rows] == [(101, "pve2", "qemu"), (102, "pve1", "qemu")]


async def test_a_cluster_at_rest_is_not_written_again(stored: Stored) -> None:
    await listed(stored, guest(100), guest(101))
    before = await stored.execute("SELECT vmid, xmin, ctid, seen_at FROM proxmox_guest")
    await stored.move(MINUTE)
    await listed(stored, guest(100), guest(101))
    assert await stored.execute("SELECT vmid, xmin, ctid, seen_at FROM proxmox_guest") == before
    assert await stored.value("SELECT inventory_at FROM proxmox_cluster") == stored.now


async def test_an_empty_list_says_nothing(stored: Stored) -> None:
    await listed(stored, guest(100))
    read_at = stored.now
    await stored.move(MINUTE)
    await listed(stored)
    assert await stored.value("SELECT count(*) FROM proxmox_guest") == 1
    assert await stored.value("SELECT inventory_at FROM proxmox_cluster") == read_at


async def test_rights_that_could_not_be_read_are_as_they_were(stored: Stored) -> None:
    await listed(stored, guest(100, may_reset=False))
    await listed(stored, guest(100, may_reset=None, node="pve2"))
    assert await stored.value("SELECT may_reset FROM proxmox_guest") is False


async def test_a_vmid_that_is_listed_twice_is_kept_once(stored: Stored) -> None:
    await listed(stored, guest(100, node="pve1"), guest(100, node="pve2"))
    assert await stored.value("SELECT node FROM proxmox_guest") == "pve2"


# what is not covered


async def test_where_nothing_was_read_nothing_is_said_of_proxmox(stored: Stored) -> None:
    await stored.execute("UPDATE proxmox_cluster SET spec = '{}', reachable = true")
    await stored.reporting_vm(vmid=100)
    found = await covered(stored)
    assert (found.agentless, found.unknown_agents, found.not_resettable) == ([], [], [])
    assert [(one.cluster, one.read_at) for one in found.clusters] == [("default", None)]


async def test_vms_without_an_agent_are_those_that_never_reported(stored: Stored) -> None:
    await stored.reporting_vm(vmid=100)
    await stored.vm(101)
    await listed(
        stored,
        guest(100),
        guest(101),
        guest(102, state="stopped", name=None),
        guest(103, template=True),
        guest(104, kind="lxc"),
    )
    found = await covered(stored)
    assert [(one.vmid, one.state) for one in found.agentless] == [
        (101, "running"),
        (102, "stopped"),
    ]
    assert (found.counts.agentless, found.counts.inventory) == (2, 5)


async def test_agents_without_a_vm_are_those_proxmox_does_not_list(stored: Stored) -> None:
    gone = await stored.reporting_vm(vmid=100)
    await stored.vm(101)
    removed = await stored.reporting_vm(vmid=102)
    await stored.execute(
        "UPDATE vm SET uid = NULL, namespace = NULL, name = NULL,"
        " tombstoned_at = now() WHERE id = :vm",
        vm=removed,
    )
    await stored.execute(
        "INSERT INTO sought_machine (cluster_id, smbios_uuid, hostname, sought_at)"
        " VALUES (:c, gen_random_uuid(), 'lost', :now)",
        c=await stored.cluster_id(),
        now=stored.now - MINUTE,
    )
    await listed(stored, guest(999))
    found = await covered(stored)
    assert [(one.vm_id, one.vmid, one.reason) for one in found.unknown_agents] == [
        (gone, 100, "VMNotFound"),
        (None, None, "VMNotFound"),
    ]
    assert "VM.Audit on /vms/100" in found.unknown_agents[0].message
    assert found.counts.unknown_agents == 2
    assert gone not in {one.vm_id for one in found.not_resettable}


async def test_agents_of_a_cluster_nobody_described_are_without_a_vm(stored: Stored) -> None:
    await stored.reporting_vm(vmid=100)
    (found,) = (await covered(stored)).unknown_agents
    assert (found.reason, found.message) == (
        "ClusterNotFound",
        "there is no ProxmoxCluster default; apply one",
    )


async def test_a_vm_that_may_be_reset_is_not_listed(stored: Stored) -> None:
    vm_id = await stored.reporting_vm(vmid=100)
    await listed(stored, guest(100))
    assert await reason_of(stored, vm_id) is None


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"may_reset": False}, "ProxmoxForbidden"),
        ({"kind": "lxc"}, "NotQemu"),
        ({"template": True}, "Template"),
        ({"ha_state": "error"}, "HAInTransition"),
        ({"ha_state": "migrate"}, None),
        ({"may_reset": None}, None),
        ({"state": "stopped"}, None),
    ],
    ids=str,
)
async def test_what_proxmox_says_may_forbid_a_reset(
    stored: Stored, seen: dict[str, Any], reason: str | None
) -> None:
    vm_id = await stored.reporting_vm(vmid=100)
    await listed(stored, guest(100, **seen))
    assert await reason_of(stored, vm_id) == reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE vm SET uid = NULL, namespace = NULL, name = NULL", "NotManaged"),
        (
            (
                "UPDATE vm SET uid = NULL, namespace = NULL, name = NULL, tombstoned_at = now(),"
                " rejected = 'Conflict'"
            ),
            "Tombstoned",
        ),
        ("UPDATE vm SET rejected = 'InvalidSpec', rejected_message = 'no'", "InvalidSpec"),
        ("UPDATE vm SET rejected = 'Conflict'", "Conflict"),
        ("UPDATE vm SET remediation_enabled = false", "RemediationDisabled"),
        ("UPDATE vm_state SET max_attempts = 0", "AttemptsExhausted"),
        ("UPDATE vm SET paused_reason = 'disk'", None),
        (
            "UPDATE proxmox_cluster SET reachable = false, message = 'no route'",
            "ProxmoxUnreachable",
        ),
        ("UPDATE system_config SET spec = spec || '{\"dryRun\": true}'", "DryRun"),
        (
            "UPDATE system_config SET spec = spec || '{\"autoResetEnabled\": false}'",
            "AutoResetDisabled",
        ),
        ("DELETE FROM proxmox_guest", "VMNotFound"),
    ],
    ids=str,
)
async def test_what_people_say_may_forbid_a_reset(
    stored: Stored, change: str, reason: str | None
) -> None:
    vm_id = await stored.vm(100)
    await listed(stored, guest(100))
    assert await reason_of(stored, vm_id) is None
    await stored.execute(change)
    assert await reason_of(stored, vm_id) == reason


async def test_lists_are_bounded_and_counts_are_not(stored: Stored) -> None:
    most = coverage.MOST
    await listed(stored, *(guest(vmid) for vmid in range(100, 100 + most + 5)))
    found = await covered(stored)
    assert (len(found.agentless), found.counts.agentless) == (most, most + 5)
