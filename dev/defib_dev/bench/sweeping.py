"""Whole sweeps of the operator over fleets of many sizes: the code of production, from end to end.

With nothing stale, as nearly always; with one VM in a thousand and one in ten gone silent at once.
The reference is the least that any sweep must do: look at every row's last heartbeat. Proxmox is
left out: it is asked about every VM that might be reset, and answers at once that it cannot say.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from time import perf_counter

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.domain.observation import LookFailure
from defib_core.domain.reasons import HoldReason
from defib_core.store.engine import make_engine
from defib_dev.bench import fleet
from defib_dev.bench.bench import Bench
from defib_dev.bench.figures import MS, BenchError, Section, Target, milliseconds
from defib_dev.bench.servers import Database
from defib_operator.looks import Finding, Wanted
from defib_operator.sweep import Sweep

QUIET, FEW, MANY = "quiet", "few", "many"
ONE_IN = {FEW: 1000, MANY: 10}
AHEAD = timedelta(hours=2)
"""The fleet was heard of so much later than now: it must not grow old while it is measured."""
SETUP_SECONDS = 5.0
VMS_A_SECOND = 10_000
"""Filling, sweeping and restoring so many takes a second or so; for the estimate only."""
TARGETS = {1_000_000: Target(1000, 300, higher_is_better=False)}

LOOK = text("SELECT count(*) FROM vm_state WHERE defib_now() - last_heartbeat > stale_timeout")
LEAD = """
UPDATE leader_lease SET holder = 'bench', epoch = 1, expires_at = defib_now() + interval '1 day'
"""
HEARD = """
INSERT INTO ingest_liveness VALUES ('bench', defib_now() - interval '1 day', defib_now())
ON CONFLICT (replica) DO UPDATE SET proved_at = excluded.proved_at
"""
SILENCE = """
UPDATE vm_state SET last_heartbeat = defib_now() - interval '10 minutes' WHERE vm_id % {} = 0
"""
RESTORE = (
    """
    UPDATE vm_state SET last_heartbeat = defib_now() + interval '2 hours', state = 'healthy',
        alive_since = state_since
    WHERE last_heartbeat < defib_now() + interval '1 hour'
    """,
    "TRUNCATE vm_transition, status_outbox, hold, brake",
)
SETTLE = ("VACUUM ANALYZE vm_state", "CHECKPOINT")


class _Eyes:
    """Proxmox that cannot be asked, and says so at once."""

    async def look(self, wanted: Sequence[Wanted], _: datetime) -> Mapping[int, Finding]:
        """Say of each VM that nothing was seen."""
        away = LookFailure(HoldReason.PROXMOX_UNREACHABLE, "the bench has no Proxmox")
        return dict.fromkeys((one.vm_id for one in wanted), away)

    def forget_all_but(self, vm_ids: frozenset[int]) -> None:
        """Nothing is watched."""


class _Ears:
    """Kubernetes, always heard just now."""

    def heard_at(self, now: datetime) -> datetime | None:
        """Say so."""
        return now


@dataclass(frozen=True, slots=True)
class _Lead:
    """The leader."""

    epoch: int = 1
    until: float = inf


def measure(bench: Bench) -> Section | None:
    """Measure each size there is time for; None where there was for none."""
    section = Section("sweep", "Sweeps")
    for vms in bench.plan.sweep.sizes:
        if bench.fits(SETUP_SECONDS + vms / VMS_A_SECOND, f"sweeps of {vms:,} VMs"):
            with _filled(bench, vms) as database:
                _measure_size(bench, database, vms, section)
    return section if section.figures else None


@contextmanager
def _filled(bench: Bench, vms: int) -> Iterator[Database]:
    database = bench.servers.migrated_database(f"sweep_{vms}")
    try:
        fleet.fill(database.superuser_url, vms, ahead=AHEAD)
        _execute(database, LEAD)
        yield database
    finally:
        bench.servers.drop(database)


def _measure_size(bench: Bench, database: Database, vms: int, section: Section) -> None:
    repeats = bench.plan.sweep.repeats
    looks = bench.run(_looks(database, repeats))
    section.add(f"{vms}.look", f"{vms:,} VMs: looking at each row", MS, _ms(looks))
    quiet = bench.run(_sweeps(database, repeats, expected=0))
    _add(section, vms, QUIET, f"{vms:,} VMs, none stale", [one.first for one in quiet])
    for key, one_in in ONE_IN.items():
        stale = vms // one_in
        taken = []
        for _ in range(repeats if key == FEW else 1):
            _execute(database, SILENCE.format(one_in), *SETTLE)
            taken += bench.run(_sweeps(database, 1, expected=stale))
            _execute(database, *RESTORE, *SETTLE)
        said = f"{vms:,} VMs, {stale:,} of them stale at once"
        _add(section, vms, key, said, [one.first for one in taken])
        again = [one.next for one in taken]
        section.add(f"{vms}.{key}.next", "... the sweep after it", MS, _ms(again))


def _add(section: Section, vms: int, key: str, said: str, seconds: list[float]) -> None:
    target = TARGETS.get(vms) if key in (QUIET, FEW) else None
    section.add(f"{vms}.{key}", said, MS, _ms(seconds), reference=f"{vms}.look", target=target)


async def _looks(database: Database, repeats: int) -> list[float]:
    times = []
    async with _engine(database) as engine, engine.connect() as connection:
        for _ in range(repeats + 1):
            began = perf_counter()
            await connection.execute(LOOK)
            times.append(perf_counter() - began)
    return times[1:]


@dataclass(frozen=True, slots=True)
class _Took:
    """Seconds of a sweep, and of the one after it, which finds the same VMs down already."""

    first: float
    next: float


async def _sweeps(database: Database, repeats: int, *, expected: int) -> list[_Took]:
    """Sweep, and make sure that each sweep found what it had to."""
    found = []
    async with _engine(database) as engine:
        sweep = Sweep(engine, _Lead(), _Eyes(), _Ears())
        for _ in range(repeats):
            first = await _sweep(database, sweep, expected)
            found.append(_Took(first, await _sweep(database, sweep, 0)))
    return found


async def _sweep(database: Database, sweep: Sweep, expected: int) -> float:
    await asyncio.to_thread(_execute, database, HEARD)
    swept = await sweep.tick()
    if swept.changed != expected:
        raise BenchError(
            f"a sweep of the bench should have changed {expected} VMs and changed {swept.changed}: "
            "the fleet that bench/fleet.py makes does not fit the sweep's statements any more"
        )
    return swept.seconds


@asynccontextmanager
async def _engine(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(database.url, application="bench")
    try:
        yield engine
    finally:
        await engine.dispose()


def _execute(database: Database, *statements: str) -> None:
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _ms(seconds: Iterable[float]) -> list[float]:
    return [milliseconds(one) for one in seconds]
