"""Who is counted by the brakes: the quick count is held against one that looks at every VM."""

from datetime import datetime, timedelta

import pytest

from defib_core.domain.brakes import Scope, ScopeKind
from defib_core.store import brakes, mirror, sweep, unwell
from defib_core.store.brakes import FleetRule
from defib_core.store.unwell import Patience
from support.stored import LONG_AGO, MINUTE, SECOND, STALE_TIMEOUT, Stored

EVERY_ONE = """
SELECT s.vm_id, v.node, v.labels ->> 'rack' AS rack
FROM vm_state s JOIN vm v ON v.id = s.vm_id JOIN vm_paused z ON z.vm_id = s.vm_id
WHERE s.state IN ('healthy', 'warning', 'down') AND s.reports >= 3
  AND v.uid IS NOT NULL AND v.tombstoned_at IS NULL AND v.rejected IS NULL
  AND v.remediation_enabled AND (z.reason IS NULL OR z.until <= defib_now())
  AND (v.proxmox_state IS NULL OR v.proxmox_state = 'running')
  AND NOT EXISTS (SELECT FROM hold h WHERE h.vm_id = s.vm_id AND h.ended_at IS NULL
      AND h.reason IN ('VMStopped', 'VMNotFound', 'Template', 'IdentityMismatch'))
"""


async def rule(stored: Stored, label: str | None = None) -> FleetRule:
    return FleetRule(await stored.config_id(), 3, 90 * SECOND, LONG_AGO, label)


async def mixed_fleet(stored: Stored) -> None:
    """One VM of each kind that matters for the count, beside ten ordinary ones."""
    for number in range(10):
        vm_id = await stored.reporting_vm(labels={"rack": f"r{number % 2}"})
        node = f"pve{number % 3}"
        await stored.execute("UPDATE vm SET node = :node WHERE id = :vm", node=node, vm=vm_id)
    await stored.vm()  # never reported
    await stored.agent_vm()
    await stored.set(await stored.reporting_vm(), reports=2)
    await stored.set(await stored.down_vm(), state="reset_failed")
    await stored.down_vm(labels={"rack": "r0"})
    await stored.reporting_vm(enabled=False)
    await stored.reporting_vm(paused_reason="by its spec")
    await stored.reporting_vm(paused_reason="over", paused_until=stored.now - MINUTE)
    for word in ("stopped", "template", "gone"):
        vm_id = await stored.reporting_vm()
        await stored.execute("UPDATE vm SET proxmox_state = :w WHERE id = :vm", w=word, vm=vm_id)
    for reason in ("VMStopped", "IdentityMismatch", "NodeOffline"):
        vm_id = await stored.down_vm()
        await stored.execute(
            "INSERT INTO hold (vm_id, reason, message, started_at)"
            " VALUES (:vm, :reason, '', defib_now())",
            vm=vm_id,
            reason=reason,
        )
    for until in (None, stored.now + MINUTE, stored.now - MINUTE):
        await stored.execute(
            "INSERT INTO pause (vm_id, reason, until, started_by, started_at)"
            " VALUES (:vm, 'by hand', :until, 'ann', :now)",
            vm=await stored.reporting_vm(),
            until=until,
            now=stored.now - 2 * MINUTE,
        )
    await stored.reporting_vm(uid="uid-gone")
    await mirror.tombstone(stored.connection, ["uid-gone"], stored.now)


@pytest.mark.parametrize("label", [None, "rack"])
async def test_the_quick_count_is_that_of_looking_at_every_vm(
    stored: Stored, label: str | None
) -> None:
    await mixed_fleet(stored)
    given = await rule(stored, label)
    counted = await brakes.members(stored.connection, [given], stored.now)
    every = await stored.execute(EVERY_ONE)
    fleet, cluster = given.fleet, await stored.cluster_id()
    assert counted[Scope(ScopeKind.FLEET, str(fleet))] == len(every) == 14
    assert counted[Scope(ScopeKind.CLUSTER, str(cluster))] == len(every)
    for kind, prefix, column in (
        (ScopeKind.NODE, cluster, "node"),
        (ScopeKind.DOMAIN, fleet, "rack"),
    ):
        values = [getattr(row, column) for row in every]
        wanted = {
            Scope(kind, f"{prefix}/{value}"): values.count(value) for value in values if value
        }
        found = {scope: vms for scope, vms in counted.items() if scope.kind is kind}
        assert found == (wanted if kind is ScopeKind.NODE or label else {})


async def test_a_fleet_without_vms_of_its_own_counts_nobody(stored: Stored) -> None:
    await stored.reporting_vm()
    other = FleetRule(await stored.configure("other"), 3, 90 * SECOND, LONG_AGO, None)
    assert await brakes.members(stored.connection, [other], stored.now) == {}


async def test_silent_are_those_that_are_down_or_silent_for_long_enough(stored: Stored) -> None:
    down, suspect = await stored.down_vm(), await stored.reporting_vm()
    fresh, unarmed = await stored.reporting_vm(), await stored.reporting_vm()
    await stored.set(suspect, last_heartbeat=stored.now - 91 * SECOND)
    await stored.set(fresh, last_heartbeat=stored.now - 90 * SECOND)
    await stored.set(unarmed, last_heartbeat=stored.now - 91 * SECOND, reports=2)
    ids = await found_unwell(stored, 90 * SECOND)
    assert set(ids) == {down, suspect, unarmed}
    given = await rule(stored)
    silent, suspects = await brakes.silent_members(stored.connection, [given], ids, stored.now)
    assert [one.vm_id for one in silent] == [down, suspect]
    assert [one.vm_id for one in suspects] == [suspect]


async def found_unwell(
    stored: Stored, least: timedelta, floor: datetime = LONG_AGO, *, blind: bool = False
) -> list[int]:
    patience = [Patience(least, floor, blind)]
    return list(await unwell.unwell(stored.connection, patience, stored.now))


async def test_nobody_is_looked_for_while_nobody_could_be_heard(stored: Stored) -> None:
    down, silent = await stored.down_vm(), await stored.reporting_vm()
    await stored.set(silent, last_heartbeat=stored.now - STALE_TIMEOUT)
    assert await found_unwell(stored, MINUTE) == [down, silent]
    assert await found_unwell(stored, MINUTE, blind=True) == [down]
    assert await found_unwell(stored, MINUTE, floor=stored.now - MINUTE) == [down]


async def test_who_has_attempts_is_looked_at_also_when_well(stored: Stored) -> None:
    vm_id = await stored.reporting_vm()
    assert await found_unwell(stored, MINUTE) == []
    await stored.set(vm_id, reset_attempts=1, last_attempt_at=stored.now)
    assert await found_unwell(stored, MINUTE) == [vm_id]


async def test_the_smallest_timeout_is_that_of_an_override_or_of_the_config(
    stored: Stored,
) -> None:
    fleet, empty = await stored.config_id(), await stored.configure("empty")
    await stored.vm(stale_timeout=2 * STALE_TIMEOUT)
    assert (await unwell.smallest_timeouts(stored.connection))[fleet] == 2 * STALE_TIMEOUT
    await stored.vm()
    assert (await unwell.smallest_timeouts(stored.connection))[fleet] == STALE_TIMEOUT
    await stored.vm(stale_timeout=2 * MINUTE)
    smallest = await unwell.smallest_timeouts(stored.connection)
    assert smallest[fleet] == 2 * MINUTE
    assert empty not in smallest


async def test_a_sweep_that_is_told_whom_to_look_at_looks_at_nobody_else(stored: Stored) -> None:
    stale, other = await stored.reporting_vm(), await stored.reporting_vm()
    for vm_id in (stale, other):
        await stored.set(vm_id, last_heartbeat=stored.now - 2 * STALE_TIMEOUT)
    clock = sweep.FleetClock(
        await stored.config_id(), LONG_AGO, blind=False, boot_grace=MINUTE, clear_after=MINUTE
    )
    changed = await sweep.change_states(stored.connection, [clock], stored.now, [stale])
    assert [one.vm_id for one in changed] == [stale]
