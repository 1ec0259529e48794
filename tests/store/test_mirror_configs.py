"""SystemConfigs in the database: in force for whom they concern, and the last good one stays."""

from dataclasses import replace

import pytest

from defib_core.config.resources import PROXMOX_CLUSTER, SYSTEM_CONFIG
from defib_core.config.system_config import SystemConfigSpec, parse_system_config
from defib_core.store import clusters, mirror, sweep
from support.stored import MINUTE, SECOND, Stored, config_key

A_CLUSTER = {"endpoints": ["https://pve1:8006"]}


async def spec_of(stored: Stored, name: str = "default") -> SystemConfigSpec:
    for config in await sweep.configs(stored.connection):
        if config.name == name:
            return parse_system_config(config.spec)
    raise AssertionError(f"no config {name}")


async def test_a_config_is_in_force_at_once_for_its_vms(stored: Stored) -> None:
    vm_id = await stored.vm()
    await stored.configure(stale_timeout_ms=120_000, cpu_threshold=70, max_reset_attempts=5)
    state = await stored.state(vm_id)
    assert (state.stale_timeout, state.cpu_threshold, state.max_attempts) == (2 * MINUTE, 70, 5)
    assert await spec_of(stored) == SystemConfigSpec(
        stale_timeout_ms=120_000, cpu_threshold=70, max_reset_attempts=5
    )


async def test_it_says_how_many_vms_it_applies_to(stored: Stored) -> None:
    for _ in range(3):
        await stored.vm()
    await mirror.tombstone(stored.connection, ["uid-100"], stored.now)
    spec = SystemConfigSpec()
    assert await mirror.mirror_config(stored.connection, config_key(), spec, stored.now) == 2


async def test_a_changed_timeout_starts_the_clocks_of_those_it_applies_to(
    stored: Stored,
) -> None:
    await stored.configure("other")
    began = stored.now
    plain = await stored.vm()
    own_timeout = await stored.vm(stale_timeout=10 * MINUTE)
    own_threshold = await stored.vm(cpu_threshold=50.0)
    elsewhere = await stored.vm(config="other")
    await stored.move(MINUTE)
    await stored.configure(stale_timeout_ms=120_000)
    floors = {
        vm_id: (await stored.state(vm_id)).clock_floor
        for vm_id in (plain, own_timeout, own_threshold, elsewhere)
    }
    assert floors == {
        plain: stored.now,
        own_timeout: began,
        own_threshold: stored.now,
        elsewhere: began,
    }


async def test_other_changes_start_no_clock(stored: Stored) -> None:
    vm_id = await stored.vm()
    began = stored.now
    await stored.move(MINUTE)
    await stored.configure(cpu_threshold=50, max_reset_attempts=1, dry_run=True)
    state = await stored.state(vm_id)
    assert (state.clock_floor, state.cpu_threshold) == (began, 50)


async def test_a_vm_that_changes_its_config_gets_the_new_ones_timeout(stored: Stored) -> None:
    await stored.configure("slow", stale_timeout_ms=600_000)
    vm_id = await stored.vm(100)
    await stored.move(MINUTE)
    await stored.vm(100, config="slow")
    state = await stored.state(vm_id)
    assert (state.stale_timeout, state.clock_floor) == (10 * MINUTE, stored.now)
    assert state.config_id == await stored.config_id("slow")


async def test_the_same_config_again_changes_nothing(stored: Stored) -> None:
    await stored.configure(stale_timeout_ms=120_000)
    changed = "SELECT changed_at FROM system_config"
    before = await stored.value(changed)
    await stored.move(MINUTE)
    await stored.configure(stale_timeout_ms=120_000)
    assert await stored.value(changed) == before
    await stored.configure(stale_timeout_ms=180_000)
    assert await stored.value(changed) == stored.now


async def test_an_invalid_config_leaves_the_last_good_one_in_force(stored: Stored) -> None:
    vm_id = await stored.vm()
    await stored.configure(stale_timeout_ms=120_000)
    key = replace(config_key(), generation=2)
    await mirror.mirror_invalid_config(stored.connection, key, "staleTimeoutMs: must be a number")
    assert (await spec_of(stored)).stale_timeout_ms == 120_000
    assert (await stored.state(vm_id)).stale_timeout == 2 * MINUTE
    row = (await stored.execute("SELECT * FROM system_config"))[0]
    assert (row.generation, row.observed_generation) == (2, 1)
    assert row.invalid == "staleTimeoutMs: must be a number"
    await stored.configure()
    assert await stored.value("SELECT invalid FROM system_config") is None


# a config that is not there


async def test_a_vm_whose_config_is_missing_is_watched_and_not_reset(stored: Stored) -> None:
    vm_id = await stored.vm(config="later")
    row = await stored.record(vm_id)
    assert (row.rejected, row.rejected_message) == (
        "ConfigNotFound",
        "there is no SystemConfig later",
    )
    assert (await stored.state(vm_id)).stale_timeout == 5 * MINUTE


async def test_when_the_config_comes_the_vm_is_accepted(stored: Stored) -> None:
    vm_id = await stored.vm(config="later")
    await stored.execute("DELETE FROM status_outbox")
    await stored.configure("later", stale_timeout_ms=120_000)
    assert (await stored.record(vm_id)).rejected is None
    assert (await stored.state(vm_id)).stale_timeout == 2 * MINUTE
    assert vm_id in {row.vm_id for row in await stored.execute("SELECT * FROM status_outbox")}


async def test_a_config_that_was_never_valid_resets_nobody(stored: Stored) -> None:
    key = config_key("broken")
    await mirror.mirror_invalid_config(stored.connection, key, "x")
    vm_id = await stored.vm(config="broken")
    assert (await stored.record(vm_id)).rejected == "ConfigNotFound"
    await stored.configure("broken")
    assert (await stored.record(vm_id)).rejected is None


async def test_a_deleted_config_leaves_its_last_good_spec_in_force(stored: Stored) -> None:
    await stored.configure("mine", stale_timeout_ms=120_000)
    vm_id = await stored.vm(100, config="mine")
    await mirror.forget_config(stored.connection, "uid-config-mine")
    await stored.vm(100, config="mine")
    row, state = await stored.record(vm_id), await stored.state(vm_id)
    assert (row.rejected, state.stale_timeout) == (None, 2 * MINUTE)
    known = await mirror.known_uids(stored.connection, SYSTEM_CONFIG, None)
    assert "uid-config-mine" not in known


async def test_the_config_of_a_vm_is_found(stored: Stored) -> None:
    await stored.configure("mine", stale_timeout_ms=120_000)
    vm_id = await stored.vm(config="mine")
    spec = await mirror.config_of(stored.connection, vm_id)
    assert spec["staleTimeoutMs"] == 120_000


@pytest.mark.parametrize("moved", [SECOND, MINUTE])
async def test_who_overrides_the_timeout_is_named(stored: Stored, moved: object) -> None:
    await stored.vm(100)
    await stored.vm(101, name="own", stale_timeout=moved)
    named = await mirror.overriding(stored.connection, "defib", "default")
    assert named == [("defib", "own")]


# clusters


async def cluster(stored: Stored) -> clusters.Cluster:
    [found] = await clusters.all_clusters(stored.connection)
    return found


async def test_a_cluster_is_kept_as_its_object_says(stored: Stored) -> None:
    cluster_id = await mirror.mirror_cluster(stored.connection, config_key(), A_CLUSTER, None)
    found = await cluster(stored)
    assert (found.id, found.spec, found.invalid) == (cluster_id, A_CLUSTER, None)
    assert await stored.cluster_id() == cluster_id


async def test_an_invalid_cluster_keeps_its_last_good_spec(stored: Stored) -> None:
    await mirror.mirror_cluster(stored.connection, config_key(), A_CLUSTER, None)
    await mirror.mirror_cluster(stored.connection, config_key(), None, "endpoints: is required")
    found = await cluster(stored)
    assert (found.spec, found.invalid) == (A_CLUSTER, "endpoints: is required")


async def test_a_deleted_cluster_keeps_its_vms(stored: Stored) -> None:
    vm_id = await stored.vm()
    await mirror.mirror_cluster(stored.connection, config_key(uid="c"), A_CLUSTER, None)
    assert await mirror.known_uids(stored.connection, PROXMOX_CLUSTER, None) == {"c"}
    assert await mirror.forget_cluster(stored.connection, "c") == await stored.cluster_id()
    assert (await cluster(stored)).spec is None
    assert (await stored.record(vm_id)).uid is not None
    assert await mirror.forget_cluster(stored.connection, "c") is None
