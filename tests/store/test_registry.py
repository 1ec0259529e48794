"""Finding or creating the VM that a report speaks of."""

import pytest

from defib_core.store import registry
from defib_core.store.registry import NotRegistrable, ReportedIdentity
from support.stored import MINUTE, Stored

UUID = "4c4c4544-0042-3510-8052-b4c04f4e4d32"


async def test_a_new_vm_is_created_with_what_its_report_says(stored: Stored) -> None:
    vm_id = await stored.agent_vm(
        4711, hostname="web-01", node="pve1", smbios_uuid=UUID, agent_version="1.2"
    )
    row = await stored.record(vm_id)
    assert (row.vmid, row.hostname, row.reported_hostname) == (4711, "web-01", "web-01")
    assert (row.node, str(row.smbios_uuid), row.agent_version) == ("pve1", UUID, "1.2")
    assert (row.registered_by, row.uid, row.managed_at) == ("agent", None, None)


async def test_a_new_vm_is_unknown_and_under_the_default_config(stored: Stored) -> None:
    await stored.configure(stale_timeout_ms=120_000, cpu_threshold=70, max_reset_attempts=5)
    state = await stored.state(await stored.agent_vm())
    assert (state.state, state.last_heartbeat, state.reports) == ("unknown", None, 0)
    assert (state.stale_timeout, state.cpu_threshold, state.max_attempts) == (2 * MINUTE, 70, 5)
    assert (state.config_id, state.clock_floor) == (await stored.config_id(), stored.now)


async def test_the_same_vm_is_found_again(stored: Stored) -> None:
    first = await stored.agent_vm(100)
    assert await stored.agent_vm(100) == first
    assert await stored.agent_vm(101) != first


async def test_one_vmid_in_two_clusters_is_two_vms(stored: Stored) -> None:
    await stored.execute("INSERT INTO proxmox_cluster (namespace, name) VALUES ('defib', 'b')")
    other = await stored.value("SELECT id FROM proxmox_cluster WHERE name = 'b'")
    assert await stored.agent_vm(100) != await stored.agent_vm(100, cluster_id=other)


async def test_what_a_report_adds_is_kept_and_what_it_leaves_out_stays(stored: Stored) -> None:
    await stored.agent_vm(100, node="pve1", smbios_uuid=UUID, agent_version="1.2")
    vm_id = await stored.agent_vm(100, node=None, smbios_uuid=None, agent_version=None)
    row = await stored.record(vm_id)
    assert (row.node, str(row.smbios_uuid), row.agent_version) == ("pve1", UUID, "1.2")
    await stored.agent_vm(100, node="pve2", agent_version="1.3")
    row = await stored.record(vm_id)
    assert (row.node, row.agent_version) == ("pve2", "1.3")


async def test_a_guest_that_is_renamed_is_renamed(stored: Stored) -> None:
    vm_id = await stored.agent_vm(100, hostname="old")
    await stored.agent_vm(100, hostname="new")
    assert (await stored.record(vm_id)).hostname == "new"


async def test_the_specs_hostname_stays_whatever_the_guest_says(stored: Stored) -> None:
    vm_id = await stored.vm(100, hostname="from-spec")
    await stored.agent_vm(100, hostname="from-guest")
    row = await stored.record(vm_id)
    assert (row.hostname, row.reported_hostname) == ("from-spec", "from-guest")


async def test_without_one_in_the_spec_the_guests_word_counts(stored: Stored) -> None:
    vm_id = await stored.vm(100, name="object-name")
    assert (await stored.record(vm_id)).hostname == "object-name"
    await stored.agent_vm(100, hostname="from-guest")
    assert (await stored.record(vm_id)).hostname == "from-guest"


async def test_an_adopted_vm_keeps_the_specs_hostname(stored: Stored) -> None:
    vm_id = await stored.agent_vm(100, hostname="from-guest")
    assert await stored.vm(100, hostname="from-spec") == vm_id
    await stored.agent_vm(100, hostname="from-guest")
    assert (await stored.record(vm_id)).hostname == "from-spec"


async def test_a_hostname_taken_out_of_the_spec_gives_way_to_the_guests(stored: Stored) -> None:
    vm_id = await stored.vm(100, hostname="from-spec")
    await stored.agent_vm(100, hostname="from-guest")
    await stored.vm(100)
    assert (await stored.record(vm_id)).hostname == "from-guest"


@pytest.mark.parametrize("missing", ["cluster", "config"])
async def test_without_cluster_or_config_nobody_is_registered(stored: Stored, missing: str) -> None:
    cluster_id = await stored.cluster_id()
    if missing == "config":
        await stored.execute("DELETE FROM system_config")
    said = ReportedIdentity(cluster_id if missing == "config" else 0, 100, "x", None, None, None)
    with pytest.raises(NotRegistrable, match="no cluster"):
        await registry.find_or_create(stored.connection, said)


async def test_the_defaults_are_made_once_and_never_overwritten(stored: Stored) -> None:
    await stored.configure(stale_timeout_ms=120_000)
    await registry.ensure_defaults(stored.connection, "defib")
    assert await stored.value("SELECT spec ->> 'staleTimeoutMs' FROM system_config") == "120000"
    assert await stored.value("SELECT count(*) FROM proxmox_cluster") == 1


async def test_all_identities_are_what_the_reports_said(stored: Stored) -> None:
    vm_id = await stored.vm(100, hostname="from-spec")
    await stored.agent_vm(100, hostname="from-guest", smbios_uuid=UUID)
    silent = await stored.vm(101, hostname="silent")
    cluster_id = await stored.cluster_id()
    assert dict(await registry.all_identities(stored.connection)) == {
        vm_id: ReportedIdentity(cluster_id, 100, "from-guest", "pve1", UUID, None),
        silent: ReportedIdentity(cluster_id, 101, "silent", None, None, None),
    }


async def test_a_vm_is_found_by_its_uuid(stored: Stored) -> None:
    await stored.agent_vm(100, smbios_uuid=UUID)
    cluster_id = await stored.cluster_id()
    assert await registry.vmids_of_uuid(stored.connection, cluster_id, UUID) == (100,)
    assert await registry.vmids_of_uuid(stored.connection, cluster_id, UUID.upper()) == (100,)
    assert await registry.vmids_of_uuid(stored.connection, cluster_id + 1, UUID) == ()


async def test_a_uuid_that_two_vms_have_finds_neither(stored: Stored) -> None:
    await stored.agent_vm(100, smbios_uuid=UUID)
    await stored.agent_vm(101, smbios_uuid=UUID)
    cluster_id = await stored.cluster_id()
    assert await registry.vmids_of_uuid(stored.connection, cluster_id, UUID) == (100, 101)


# who else reports

OTHER_UUID = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        ({"smbios_uuid": UUID}, {"smbios_uuid": OTHER_UUID}, 0),
        ({"smbios_uuid": UUID}, {"smbios_uuid": UUID, "hostname": "renamed"}, 10),
        ({"hostname": "web"}, {"hostname": "db"}, 0),
        ({"hostname": "web"}, {"hostname": "web", "node": "pve2"}, 10),
        ({"smbios_uuid": None}, {"smbios_uuid": UUID}, 10),
    ],
)
async def test_another_machine_has_to_arm_the_vm_anew(
    stored: Stored, before: dict[str, str], after: dict[str, str], left: int
) -> None:
    vm_id = await stored.agent_vm(100, **before)
    await stored.set(vm_id, reports=10)
    await stored.agent_vm(100, **after)
    assert (await stored.state(vm_id)).reports == left
