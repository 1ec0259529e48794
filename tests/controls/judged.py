"""One VM as the operator judges it, in a database whose clock the test moves."""

from datetime import timedelta

from defib_core.domain.decide import Hold, Look, Verdict, Wait, decide
from defib_core.domain.reasons import HoldReason
from defib_core.store import sweep
from defib_core.store.clock import database_now
from defib_operator.judging import case_of, set_scene
from support.stored import STALE_TIMEOUT, Stored

MOMENT = timedelta(seconds=1)


async def prove(stored: Stored) -> None:
    """Ingest is alive at this moment."""
    await stored.execute(
        "INSERT INTO ingest_liveness (replica, started_at, proved_at)"
        " VALUES ('test', defib_now(), defib_now())"
        " ON CONFLICT (replica) DO UPDATE SET proved_at = excluded.proved_at"
    )


async def sweep_once(stored: Stored) -> None:
    """The sweep's changes of state, without what Proxmox says."""
    await prove(stored)
    scene = await set_scene(stored.connection, stored.now, stored.now)
    await sweep.change_states(stored.connection, list(scene.clocks.values()), stored.now)


async def verdict_on(
    stored: Stored, vm_id: int, *, manual: bool = False, forced: bool = False
) -> Verdict:
    """Judge a VM as the sweep does before it asks Proxmox."""
    await prove(stored)
    now = await database_now(stored.connection)
    scene = await set_scene(stored.connection, now, now)
    one = await sweep.judged(stored.connection, vm_id, now)
    assert one is not None
    return decide(case_of(one, scene, None, manual=manual, forced=forced), now)


async def assert_held(stored: Stored, vm_id: int, reason: HoldReason) -> None:
    verdict = await verdict_on(stored, vm_id)
    assert isinstance(verdict, Hold), verdict
    assert verdict.reason is reason


async def assert_one_more_full_timeout(stored: Stored, vm_id: int) -> None:
    """From this moment it waits for its whole stale timeout, and not a second longer."""
    await sweep_once(stored)
    assert isinstance(await verdict_on(stored, vm_id), Wait)
    await stored.move(STALE_TIMEOUT)
    await sweep_once(stored)
    assert isinstance(await verdict_on(stored, vm_id), Wait)
    await stored.move(MOMENT)
    await sweep_once(stored)
    assert isinstance(await verdict_on(stored, vm_id), Look)
