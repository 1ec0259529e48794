"""A backup that was taken while all was running, restored an hour later: it resets nobody."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from operator_process.agents import running_agents
from operator_process.world import World
from support.postgres import TestPostgres
from support.waiting import eventually_async

PATIENT = 120_000
"""A stale timeout that this test does not live to see."""
AGED = (
    (
        "UPDATE vm_state SET last_heartbeat = last_heartbeat - interval '1 h',"
        " clock_floor = clock_floor - interval '1 h', state_since = state_since - interval '1 h'"
    ),
    "UPDATE ingest_liveness SET proved_at = proved_at - interval '1 h'",
    (
        "UPDATE ingest_gap SET started_at = started_at - interval '1 h',"
        " ended_at = ended_at - interval '1 h'"
    ),
    "UPDATE leader_lease SET expires_at = expires_at - interval '1 h'",
    "UPDATE operator_health SET swept_at = swept_at - interval '1 h'",
)
"""As if the hour had passed between backup and restore."""
ASKED_FOR = """
INSERT INTO reset_history (vm_id, phase, action, source, actor, reason, attempt, requested_at)
SELECT id, 'requested', 'Reset', 'api', 'kim', 'hangs', 1, defib_now() - interval '1 h'
FROM vm WHERE vmid = 100
"""
HALF_SENT = """
WITH intent AS (
    INSERT INTO reset_history
        (vm_id, phase, action, source, actor, reason, attempt, epoch, node, requested_at)
    SELECT id, 'sending', 'Reset', 'auto', 'operator', 'silent', 1, 1, 'pve1',
        defib_now() - interval '1 h' FROM vm WHERE vmid = 101 RETURNING id
)
INSERT INTO reset_step (intent_id, seq, step, phase, epoch, node, sending_at)
SELECT id, 1, 'reset', 'sending', 1, 'pve1', defib_now() - interval '1 h' FROM intent
"""


@pytest.fixture
def empty_database(postgres_server: TestPostgres) -> Iterator[str]:
    """Where the backup goes."""
    url = postgres_server.empty_database()
    yield url
    postgres_server.drop(url)


def run(programs: Path, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs; its words are the error."""
    ran = subprocess.run(
        [str(programs / program), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr


async def test_a_restored_backup_resets_nobody(
    empty_world: World, postgres_server: TestPostgres, empty_database: str, tmp_path: Path
) -> None:
    world, programs = empty_world, postgres_server.server.programs.folder
    dump = str(tmp_path / "defib.dump")
    await world.furnish(staleTimeoutMs=PATIENT)
    async with world.operator():
        await world.watched("web-0", 100)
        await world.watched("web-1", 101)
        await asyncio.to_thread(
            run, programs, "pg_dump", "--format=custom", f"--file={dump}", world.database_url
        )
        written = await world.sql("SELECT count(*) FROM vm_metric")
        assert written[0][0] > 0

    await asyncio.to_thread(
        run,
        programs,
        "pg_restore",
        *("--no-owner", "--exit-on-error", f"--dbname={empty_database}", dump),
    )
    async with running_agents(empty_database, world.namespace, world.proxmox) as agents:
        agents.is_blind = True
        restored = World(
            world.kube, world.kubeconfig, empty_database, world.proxmox, agents, world.logged
        )
        for statement in (*AGED, ASKED_FOR, HALF_SENT):
            await restored.sql(statement)
        agents.is_blind = False  # an API is there again; no agent has come back yet
        async with restored.operator(identity="after"):
            await restored.sweeps(3)
            await _ends_as(restored, 100, "cancelled")
            await _ends_as(restored, 101, "unknown")
            await restored.sweeps(3)
            for vmid in (100, 101):
                assert await restored.vm_row(
                    vmid, "s.state, defib_now() - s.last_heartbeat > interval '30 min'"
                ) == ("healthy", True)
                assert restored.posts(vmid) == []
            for vmid, name in ((100, "web-0"), (101, "web-1")):
                await agents.begin(vmid, name)
                await restored.condition(name, "Ready", "Monitored")
            await restored.sweeps(2)
    assert (world.posts(100), world.posts(101)) == ([], [])


async def _ends_as(world: World, vmid: int, phase: str) -> None:
    async def is_so() -> bool:
        return [row[1] for row in await world.resets(vmid)] == [phase]

    with suppress(AssertionError):
        await eventually_async(is_so, what=f"{vmid} {phase}", deadline_seconds=60)
    assert [row[1] for row in await world.resets(vmid)] == [phase]
