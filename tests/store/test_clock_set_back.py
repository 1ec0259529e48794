"""What ended in the future counts after a correction of the clock, and for nothing after a jump."""

from datetime import timedelta

import pytest

from defib_core.domain.actions import Source
from defib_core.domain.brakes import Scope, ScopeKind, Verdict
from defib_core.domain.reasons import HoldReason
from defib_core.store import brakes, controls, liveness, sweep
from defib_core.store.controls import Who
from support.stored import SECOND, Stored

WHO = Who("anna", Source.CLI)
CORRECTED, JUMPED = -3 * SECOND, timedelta(hours=-1)
BOTH = pytest.mark.parametrize(("by", "counts"), [(CORRECTED, True), (JUMPED, False)])


@BOTH
async def test_the_end_of_a_global_stop(stored: Stored, by: timedelta, *, counts: bool) -> None:
    await controls.begin_global_stop(stored.connection, WHO, "a test", stored.now)
    await controls.end_global_stop(stored.connection, WHO, stored.now)
    ended = stored.now
    await stored.move(by)
    assert await controls.last_stop_ended(stored.connection) == (ended if counts else None)


@BOTH
async def test_the_end_of_an_outage(stored: Stored, by: timedelta, *, counts: bool) -> None:
    await liveness.prove(stored.hot, "a")
    ended = await stored.move(60 * SECOND)
    await liveness.prove(stored.hot, "a")
    await stored.move(by)
    seen = await sweep.last_blindness(stored.connection, 15 * SECOND)
    assert seen == (ended if counts else None)


@BOTH
async def test_a_proof(stored: Stored, by: timedelta, *, counts: bool) -> None:
    await liveness.prove(stored.hot, "a")
    proved = stored.now
    await stored.move(by)
    assert await sweep.last_proof(stored.connection) == (proved if counts else None)


@BOTH
async def test_the_moment_a_vm_came_under_management(
    stored: Stored, by: timedelta, *, counts: bool
) -> None:
    vm = await stored.reporting_vm()
    managed = stored.now + timedelta(minutes=1)
    await stored.execute(f"UPDATE vm SET managed_at = '{managed.isoformat()}'")
    await stored.move(timedelta(minutes=1) + by)
    read = await sweep.judged(stored.connection, vm, stored.now)
    assert read is not None
    assert (read.clock_floor == managed) == counts


@BOTH
async def test_a_refused_report(stored: Stored, by: timedelta, *, counts: bool) -> None:
    vm = await stored.reporting_vm()
    await stored.set(vm, last_heartbeat=stored.now - timedelta(hours=2))
    await controls.record_rejection(stored.connection, vm, "revoked", stored.now)
    await stored.move(by)
    read = await sweep.judged(stored.connection, vm, stored.now)
    assert read is not None
    assert read.rejected_reason == ("revoked" if counts else None)


@BOTH
async def test_a_brake_that_let_go(stored: Stored, by: timedelta, *, counts: bool) -> None:
    scope = Scope(ScopeKind.FLEET, "1")
    verdict = Verdict(scope, HoldReason.FLEET_BRAKE, 3, 10, 2)
    await brakes.begin(stored.connection, verdict, held=True, now=stored.now)
    (brake,) = await brakes.open_brakes(stored.connection)
    await brakes.end(stored.connection, brake.id, stored.now)
    await stored.move(by)
    since = stored.now - timedelta(minutes=5)
    assert (scope in await brakes.ended_since(stored.connection, since)) == counts


async def test_a_brake_that_lets_go_before_it_began_begins_a_cooldown(stored: Stored) -> None:
    scope = Scope(ScopeKind.FLEET, "1")
    verdict = Verdict(scope, HoldReason.FLEET_BRAKE, 3, 10, 2)
    await brakes.begin(stored.connection, verdict, held=True, now=stored.now)
    (brake,) = await brakes.open_brakes(stored.connection)
    await stored.move(timedelta(hours=-1))
    await brakes.end(stored.connection, brake.id, stored.now)
    since = stored.now - timedelta(minutes=5)
    assert await brakes.ended_since(stored.connection, since) == {scope: stored.now}
