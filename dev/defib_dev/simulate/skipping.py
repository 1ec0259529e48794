"""Skips time in which nothing can happen, as nothing did for a minute and nothing falls due.

What the tireless would have left behind in that time (heartbeats that change nothing, proofs,
renewals of the lease) is written down in its place; sweeps that would have found what the last ones
found are left out. Something may fall due wherever any timestamp in the database and any length of
time that the policy knows meet: skips end well before. Never more than ten minutes are skipped, and
a minute is always played in between, so that a sweep that does act is seen.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from psycopg import sql

from defib_dev.simulate.deadlines import lengths
from defib_dev.simulate.guests import REPORT_EVERY
from defib_dev.simulate.scenario import Vm
from defib_dev.simulate.sessions import Session
from defib_dev.simulate.virtual_time import START
from defib_dev.simulate.world import World

PLAYED = 30.0
"""How long is played between skips, and before something happens or may fall due."""
SETTLED = 60.0
"""How long nothing must have happened before a skip."""
MOST = 600.0
DOES_NOT_MATTER = (
    "operator_health",
    "proxmox_cluster",
    "proxmox_guest",
    "leader_lease",
    "status_outbox",
    "vm_projection",
    "rollup_progress",
    "vm_transition",
    "audit",
    "api_token",
    "journal",
    "notice",
    "delivery",
)
"""Timestamps that nothing is counted from."""

OF_NODE = "offline_since"
COLUMNS = """
SELECT relname, attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
  AND a.atttypid = 'timestamptz'::regtype AND a.attnum > 0 AND NOT a.attisdropped
  AND c.relname <> ALL (%s)
"""
MOMENTS = """
SELECT {0}, date_trunc('second', {1}) FROM {2} WHERE {1} IS NOT NULL AND {3}
"""
STIRS = """
SELECT EXISTS (SELECT FROM reset_history WHERE finished_at IS NULL)
    OR EXISTS (SELECT FROM journal WHERE elapsed > %(played_from)s)
    OR EXISTS (SELECT FROM hold WHERE ended_at IS NULL AND reason = 'Looking')
    OR EXISTS (SELECT FROM vm WHERE pinned_uuid IS NULL AND uid IS NOT NULL)
    OR EXISTS (SELECT FROM vm_state WHERE vm_id = ANY (%(heard)s)
               AND (reset_pending OR last_heartbeat < %(now)s - interval '31 s'))
"""
IS_CALM = """
SELECT NOT EXISTS (
    SELECT FROM vm_state s LEFT JOIN hold h ON h.vm_id = s.vm_id AND h.ended_at IS NULL
    WHERE NOT CASE WHEN s.state = 'reset_failed' THEN h.reason = 'AttemptsExhausted'
                   ELSE h.id IS NULL AND s.vm_id = ANY (%(steady)s)
                        AND s.state IN ('healthy', 'warning') END
)
"""
PASSED = """
WITH states AS (
    UPDATE vm_state SET last_heartbeat = last_heartbeat + %(passed)s,
        reports = reports + %(reports)s
    WHERE vm_id = ANY (%(heard)s)
),
refusals AS (
    UPDATE report_rejection SET at = at + %(passed)s WHERE vm_id = ANY (%(refused)s)
),
proofs AS (
    UPDATE ingest_liveness SET proved_at = proved_at + %(passed)s
    WHERE %(ingest_is_up)s AND proved_at > %(lately)s
)
UPDATE leader_lease SET expires_at = expires_at + %(passed)s WHERE expires_at > %(now)s
"""


@dataclass(frozen=True, slots=True)
class _Heard:
    """The VMs that are heard every 30 seconds, and those whose reports are refused as often."""

    heard: list[int]
    refused: list[int]
    reporting: frozenset[str]


class Skipper:
    """Skips what is quiet in one world."""

    def __init__(self, world: World, *, skips: bool) -> None:
        self._world = world
        self._skips = skips
        self._session = world.sessions.take()
        self._timestamps = _query(self._session)

    async def play_until(self, moment: float) -> None:
        """Let time pass until a moment, as little of it as possible one by one."""
        timeline = self._world.timeline
        await timeline.until(min(moment, timeline.elapsed + SETTLED - PLAYED))
        while timeline.elapsed < moment:
            await timeline.until(min(moment, timeline.elapsed + PLAYED))
            is_worth_it = self._skips and moment - timeline.elapsed > 2 * PLAYED
            if is_worth_it and self._world.is_undisturbed:
                self._skip_towards(moment)

    def close(self) -> None:
        """Let go of the session."""
        self._world.sessions.give_back(self._session)

    def _skip_towards(self, moment: float) -> None:
        world, now = self._world, self._world.timeline.elapsed
        world.make_up()
        if any(now - post.at < 2 * SETTLED for post in world.posts[-1:]):
            return  # a task or a wish of HA may be pending
        heard = self._heard()
        if self._stirs(heard):
            return
        # What was due lately may not have been seen yet: the sweep comes later.
        due = min((one for one in self._deadlines(heard) if one > now - SETTLED), default=moment)
        length = min(moment - PLAYED, due - PLAYED, now + MOST) - now
        length -= length % self._rhythm()
        if length > 0 and self._guests_stay(heard.reporting, now + length + SETTLED):
            self._pass(length, heard)

    def _heard(self) -> _Heard:
        world = self._world
        vms = world.guests.reporting(world.scenario.fleet)
        taken = vms if world.ingest.is_up else []
        refused = world.guests.refused
        return _Heard(
            heard=[world.vm_ids[vm.name] for vm in taken if vm.name not in refused],
            refused=[world.vm_ids[vm.name] for vm in taken if vm.name in refused],
            reporting=frozenset(vm.name for vm in vms),
        )

    def _stirs(self, heard: _Heard) -> bool:
        """Whether anything happened lately, or is under way."""
        timeline = self._world.timeline
        bound = {
            "played_from": timeline.elapsed - SETTLED,
            "heard": heard.heard,
            "now": timeline.database_now,
        }
        return self._session.ask(STIRS, bound) == [(True,)]

    def _deadlines(self, heard: _Heard) -> Iterator[float]:
        """Say when something may fall due: rather too often than too seldom."""
        world = self._world
        bound = {"steady": [*heard.heard, *heard.refused], "ingest_is_up": world.ingest.is_up}
        rows = self._session.ask(self._timestamps, bound)
        is_calm = self._session.ask(IS_CALM, bound) == [(True,)]
        ahead = START + world.timeline.database_ahead
        moments = [(column, (at - ahead).total_seconds()) for column, at in rows]
        nodes = world.guests.dc.nodes.values()
        offline = [one.offline_since for one in nodes if one.offline_since is not None]
        moments += [(OF_NODE, (since - START).total_seconds()) for since in offline]
        config = world.kubernetes.config
        known = {column: lengths(column, config, is_calm=is_calm) for column, _ in moments}
        return (moment + length for column, moment in moments for length in known[column])

    def _rhythm(self) -> int:
        """After so many seconds reports and sweeps come at the same moments again."""
        sweeps = self._world.kubernetes.config.stale_check_interval_seconds
        return math.lcm(int(REPORT_EVERY), sweeps)

    def _guests_stay(self, reporting: frozenset[str], until: float) -> bool:
        """Whether each guest goes on as it is: reporting, or silent."""
        return all(
            self._lives(vm, until) if vm.name in reporting else self._stays_silent(vm)
            for vm in self._world.scenario.fleet
        )

    def _stays_silent(self, vm: Vm) -> bool:
        guest = self._world.guests.guest(vm)
        booted_at = None if guest is None else guest.simulated.booted_at
        return booted_at is None or booted_at <= self._world.guests.timeline.now

    def _lives(self, vm: Vm, until: float) -> bool:
        guest = self._world.guests.guest(vm)
        return guest is not None and guest.simulated.reports(START + timedelta(seconds=until))

    def _pass(self, length: float, heard: _Heard) -> None:
        timeline = self._world.timeline
        now = timeline.database_now
        bound = {
            "passed": timedelta(seconds=length),
            "reports": int(length // REPORT_EVERY),
            "heard": heard.heard,
            "refused": heard.refused,
            "ingest_is_up": self._world.ingest.is_up,
            "lately": now - timedelta(seconds=SETTLED),
            "now": now,
        }
        self._session.ask(PASSED, bound)
        timeline.skipped += length
        self._world.ingest.passed(length)


def _query(session: Session) -> str:
    """Ask for every timestamp there is, except of VMs that are heard and owe nothing."""
    parts = []
    for table, column in session.ask(COLUMNS, (list(DOES_NOT_MATTER),)):
        which = sql.SQL("true")
        if table == "ingest_liveness":
            which = sql.SQL("NOT %(ingest_is_up)s")
        elif table == "vm_state":
            which = _of_state(column)
        parts.append(
            sql.SQL(MOMENTS).format(
                sql.Literal(column), sql.Identifier(column), sql.Identifier(table), which
            )
        )
    return sql.SQL(" UNION ").join(parts).as_string()


def _of_state(column: str) -> sql.SQL:
    owes = "reset_attempts > 0 OR reset_pending OR state NOT IN ('healthy', 'warning')"
    is_moved = column in ("last_heartbeat", "agent_time")
    return sql.SQL("(vm_id <> ALL (%(steady)s)" + (")" if is_moved else f" OR {owes})"))


@contextmanager
def skipper(world: World, *, skips: bool) -> Iterator[Skipper]:
    """Make a skipper for as long as the block lasts."""
    made = Skipper(world, skips=skips)
    try:
        yield made
    finally:
        made.close()
