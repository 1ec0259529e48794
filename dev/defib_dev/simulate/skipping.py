"""Skips time in which nothing happens: every VM that can report does, and nothing else is going on.

Only the tireless is left out: heartbeats that change nothing, proofs, renewals of the lease, sweeps
that find nobody. What they would have left behind is written down in their place. Never more than
ten minutes at once, and a minute is always played in between, so that a sweep that does find
somebody is found.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from defib_dev.simulate.guests import REPORT_EVERY
from defib_dev.simulate.scenario import Vm
from defib_dev.simulate.virtual_time import START
from defib_dev.simulate.world import World

PLAYED = 60.0
"""How long is played before each skip, before each event, and after it."""
MOST = 600.0
SETTLED_AFTER = 120.0
"""So long after a POST no task and no wish of HA is pending."""

STANDING = """
WITH clock AS (SELECT %(now)s::timestamptz AS now)
SELECT
    bool_and(CASE
        WHEN s.state IN ('healthy', 'warning')
            THEN h.id IS NULL AND NOT s.reset_pending
                AND s.last_heartbeat > clock.now - interval '31 s'
        WHEN s.state = 'reset_failed' THEN h.reason IS NOT DISTINCT FROM 'AttemptsExhausted'
        ELSE false END)
    AND bool_and(v.pinned_uuid IS NOT NULL)
    AND NOT EXISTS (SELECT FROM reset_history WHERE finished_at IS NULL)
    AND NOT EXISTS (SELECT FROM brake WHERE ended_at IS NULL) AS is_quiet,
    coalesce(array_agg(s.vm_id) FILTER (WHERE s.state = 'reset_failed'), '{}') AS given_up,
    min(s.alive_since) FILTER (WHERE s.reset_attempts > 0 AND s.state <> 'reset_failed')
        AS forgiven_from
FROM vm_state s JOIN vm v ON v.id = s.vm_id LEFT JOIN hold h ON h.vm_id = s.vm_id
    AND h.ended_at IS NULL, clock
"""
PASSED = """
WITH states AS (
    UPDATE vm_state SET last_heartbeat = last_heartbeat + %(passed)s,
        reports = reports + %(reports)s
    WHERE state IN ('healthy', 'warning')
),
proofs AS (
    UPDATE ingest_liveness SET proved_at = proved_at + %(passed)s WHERE proved_at > %(lately)s
)
UPDATE leader_lease SET expires_at = expires_at + %(passed)s WHERE expires_at > %(now)s
"""


@dataclass(frozen=True, slots=True)
class _Standing:
    """How things stand, as far as the database knows."""

    is_quiet: bool
    given_up: frozenset[int]
    forgiven_at: float | None
    """When the first counter returns to zero."""


class Skipper:
    """Skips what is quiet in one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._connection = psycopg.connect(world.database_url, autocommit=True)

    async def play_until(self, moment: float) -> None:
        """Let time pass until a moment, as little of it as possible one by one."""
        timeline = self._world.timeline
        while timeline.elapsed < moment:
            await timeline.until(min(moment, timeline.elapsed + PLAYED))
            self._skip_towards(moment)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _skip_towards(self, moment: float) -> None:
        now = self._world.timeline.elapsed
        if moment - now < 2 * PLAYED or not self._nothing_stirs():
            return
        standing = self._standing()
        if not standing.is_quiet:
            return
        ends = [moment, now + MOST + PLAYED, *self._pauses()]
        ends += [] if standing.forgiven_at is None else [standing.forgiven_at]
        length = (min(ends) - PLAYED - now) // REPORT_EVERY * REPORT_EVERY
        if length > 0 and self._guests_stay(standing.given_up, now + length + PLAYED):
            self._pass(length)

    def _nothing_stirs(self) -> bool:
        """Whether all of ours is well, and nothing is pending."""
        world = self._world
        lately = any(world.timeline.elapsed - at < SETTLED_AFTER for at, _ in world.posts[-1:])
        return (
            world.is_undisturbed and any(replica.leads for replica in world.replicas) and not lately
        )

    def _standing(self) -> _Standing:
        world = self._world
        row = self._connection.execute(STANDING, {"now": world.timeline.database_now}).fetchone()
        assert row is not None
        is_quiet, given_up, alive_since = row
        forgiven_at = None
        if alive_since is not None:
            since = (alive_since - START - world.timeline.database_ahead).total_seconds()
            forgiven_at = since + world.scenario.config.attempts_clear_after_seconds
        return _Standing(bool(is_quiet), frozenset(given_up), forgiven_at)

    def _pauses(self) -> Iterator[float]:
        timeline = self._world.timeline
        for until in self._world.kubernetes.pauses_end():
            end = (until - START - timeline.database_ahead).total_seconds()
            if end > timeline.elapsed:
                yield end

    def _guests_stay(self, given_up: frozenset[int], until: float) -> bool:
        """Whether each guest goes on as it is: reporting, or given up and silent for good."""
        world = self._world
        reporting = {vm.name for vm in world.guests.reporting(world.scenario.fleet)}
        return all(
            self._is_dead(vm)
            if world.vm_ids[vm.name] in given_up
            else vm.name in reporting and self._lives_until(vm, until)
            for vm in world.scenario.fleet
        )

    def _is_dead(self, vm: Vm) -> bool:
        guest, guests = self._world.guests.guest(vm), self._world.guests
        if guest is None:
            return True
        booted_at = guest.simulated.booted_at
        boots_later = booted_at is not None and booted_at > guests.timeline.now
        return not boots_later and not guests.reporting([vm])

    def _lives_until(self, vm: Vm, until: float) -> bool:
        guest = self._world.guests.guest(vm)
        return guest is not None and guest.simulated.reports(START + timedelta(seconds=until))

    def _pass(self, length: float) -> None:
        timeline = self._world.timeline
        now = timeline.database_now
        bound = {
            "passed": timedelta(seconds=length),
            "reports": int(length // REPORT_EVERY),
            "lately": now - timedelta(seconds=PLAYED),
            "now": now,
        }
        self._connection.execute(PASSED, bound)
        timeline.skipped += length


@contextmanager
def skipper(world: World) -> Iterator[Skipper]:
    """Make a skipper for as long as the block lasts."""
    made = Skipper(world)
    try:
        yield made
    finally:
        made.close()
