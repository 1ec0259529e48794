"""A sweep's statements over a whole fleet: those of production, in their order, with their commit.

With nothing stale, as nearly always, and with every hundredth VM gone silent at once. The reference
is the least that any sweep must do: look at every row's last heartbeat.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from time import perf_counter

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.domain.brakes import suspect_after
from defib_core.domain.policy import Policy
from defib_core.store import brakes, sweep
from defib_core.store.brakes import FleetRule
from defib_core.store.clock import database_now
from defib_core.store.engine import make_engine
from defib_core.store.sweep import FleetClock
from defib_dev.bench import fleet
from defib_dev.bench.bench import Bench
from defib_dev.bench.figures import MS, BenchError, Section, Target, milliseconds
from defib_dev.bench.servers import Database

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
STALE_EVERY = 100
SETUP_SECONDS = 5.0
VMS_A_SECOND = 12_000
"""Filling, sweeping and restoring so many takes a second or so; for the estimate only."""
TARGETS = {1_000_000: Target(1000, 300, higher_is_better=False)}
PARTS = {
    "count": "counting for the brakes",
    "change": "changing states",
    "candidates": "reading the candidates",
    "commit": "the commit",
}

LOOK = text("SELECT count(*) FROM vm_state WHERE :now - last_heartbeat > stale_timeout")
SILENCE = "UPDATE vm_state SET last_heartbeat = last_heartbeat - interval '10 minutes' WHERE {}"
RESTORE = (
    "UPDATE vm_state SET state = 'healthy', alive_since = state_since WHERE state = 'down'",
    "TRUNCATE vm_transition, status_outbox, hold",
)
SETTLE = ("VACUUM ANALYZE vm_state", "CHECKPOINT")


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of each part of one sweep."""

    count: float
    change: float
    candidates: float
    commit: float

    @property
    def total(self) -> float:
        """From the first statement to the end of the commit."""
        return self.count + self.change + self.candidates + self.commit


def measure(bench: Bench) -> Section | None:
    """Measure each size there is time for; None where there was for none."""
    section = Section("sweep", "Sweeps", {"stale_one_in": STALE_EVERY})
    for vms in bench.plan.sweep.sizes:
        if bench.fits(SETUP_SECONDS + vms / VMS_A_SECOND, f"sweeps of {vms:,} VMs"):
            with _filled(bench, vms) as database:
                _measure_size(bench, database, vms, section)
    return section if section.figures else None


@contextmanager
def _filled(bench: Bench, vms: int) -> Iterator[Database]:
    database = bench.servers.migrated_database(f"sweep_{vms}")
    try:
        fleet.fill(database.superuser_url, vms)
        yield database
    finally:
        bench.servers.drop(database)


def _measure_size(bench: Bench, database: Database, vms: int, section: Section) -> None:
    repeats = bench.plan.sweep.repeats
    # The fleet was heard of just now, and stays so however long this takes: time is an argument.
    now = bench.run(_now(database))
    looks = bench.run(_looks(database, now, repeats))
    section.add(f"{vms}.look", f"{vms:,} VMs: looking at each row", MS, _ms(looks))
    quiet = bench.run(_sweeps(database, now, repeats, expected=0))
    _add(section, vms, "quiet", f"{vms:,} VMs, none stale", quiet)
    _execute(database, SILENCE.format(f"vm_id % {STALE_EVERY} = 0"), *SETTLE)
    stale: list[Took] = []
    for _ in range(repeats):
        stale += bench.run(_sweeps(database, now, 1, expected=vms // STALE_EVERY))
        _execute(database, *RESTORE, *SETTLE)
    _add(section, vms, "stale", f"{vms:,} VMs, {vms // STALE_EVERY:,} of them stale", stale)


def _add(section: Section, vms: int, key: str, title: str, sweeps: list[Took]) -> None:
    total = _ms(one.total for one in sweeps)
    section.add(f"{vms}.{key}", title, MS, total, reference=f"{vms}.look", target=TARGETS.get(vms))
    for part, said in PARTS.items():
        times = _ms(getattr(one, part) for one in sweeps)
        section.add(f"{vms}.{key}.{part}", f"... of it {said}", MS, times)


async def _now(database: Database) -> datetime:
    engine = make_engine(database.url, application="bench")
    async with engine.connect() as connection:
        now = await database_now(connection)
    await engine.dispose()
    return now


async def _looks(database: Database, now: datetime, repeats: int) -> list[float]:
    engine = make_engine(database.url, application="bench")
    times = []
    async with engine.connect() as connection:
        for _ in range(repeats + 1):
            began = perf_counter()
            await connection.execute(LOOK, {"now": now})
            times.append(perf_counter() - began)
    await engine.dispose()
    return times[1:]


async def _sweeps(database: Database, now: datetime, repeats: int, *, expected: int) -> list[Took]:
    """Sweep, and make sure that each sweep found what it had to."""
    engine = make_engine(database.url, application="bench")
    try:
        async with engine.connect() as connection:
            config = (await sweep.configs(connection))[0]
        return [await _sweep(engine, config.id, now, expected) for _ in range(repeats)]
    finally:
        await engine.dispose()


async def _sweep(engine: AsyncEngine, config_id: int, now: datetime, expected: int) -> Took:
    policy = Policy()
    clock = FleetClock(
        config_id,
        floor=LONG_AGO,
        blind=False,
        boot_grace=policy.boot_grace,
        clear_after=policy.attempts_clear_after,
    )
    rule = FleetRule(
        config_id,
        arm_after=policy.safety.arm_after_reports,
        suspect_after=suspect_after(policy, policy.stale_timeout),
        floor=LONG_AGO,
        domain_label=None,
    )
    async with engine.connect() as connection:
        await connection.begin()
        times = [perf_counter()]
        counted = await brakes.count(connection, [rule], now)
        times.append(perf_counter())
        changed = await sweep.change_states(connection, [clock], now)
        times.append(perf_counter())
        found = await sweep.candidates(connection, now)
        times.append(perf_counter())
        await connection.commit()
        times.append(perf_counter())
    _expect(expected, {"silent": len(counted.silent), "down": len(changed), "read": len(found)})
    return Took(*(after - before for before, after in pairwise(times)))


def _expect(expected: int, found: dict[str, int]) -> None:
    if any(number != expected for number in found.values()):
        raise BenchError(
            f"a sweep of the bench should have found {expected} VMs and found {found}: the fleet "
            "that bench/fleet.py makes does not fit the sweep's statements any more"
        )


def _execute(database: Database, *statements: str) -> None:
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _ms(seconds: Iterable[float]) -> list[float]:
    return [milliseconds(one) for one in seconds]
