"""What must hold of every scenario, whatever happens in it: see docs/safety.md.

Judged by how things truly stood when a POST was sent, not by what Defib believed. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from defib_core.config.system_config import SystemConfigSpec
from defib_core.domain.actions import Phase, Source
from defib_dev.simulate.expectations import Failure, Judged
from defib_dev.simulate.moments import format_moment
from defib_dev.simulate.record import Record, Reset
from defib_dev.simulate.scenario import (
    ClockJump,
    Event,
    GlobalStop,
    Outage,
    Scenario,
)
from defib_dev.simulate.world import Post

LEAST_IN_FLIGHT = 2
SETTLED = 120.0
"""What a sweep, a look, and a watch on traffic may take together."""
SMALL_JUMP = 6.0
"""Larger ones are noticed as blindness."""
BLIND_WITHIN = 17.0
HOUR, SLACK = 3600.0, 10.0
REPORTS_WITHIN = 31.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A VM at the scenario's end, as the database and the world have it."""

    vm: str
    state: str
    reporting: bool
    refused: bool
    is_off_by_us: bool
    """We stopped it, and it is still off."""
    is_explained: bool
    """It has an open hold, an unfinished intent, or a dry run."""


@dataclass(frozen=True, slots=True)
class Story:
    """A scenario, what happened, and how it ended."""

    scenario: Scenario
    record: Record
    posts: Sequence[Post]
    claims: Mapping[tuple[str, str], int]
    """How often each POST of each VM was claimed."""
    ends: Sequence[Ended]

    def violations(self) -> list[Failure]:
        """Find everything that must never be."""
        checks: Sequence[Callable[[], Iterator[Failure]]] = (
            self._one_post_a_step,
            self._waits_are_kept,
            self._never_after_being_blind,
            self._never_what_proxmox_has_busy,
            self._never_the_living,
            self._never_under_the_global_stop,
            self._places_are_kept,
            self._hours_are_kept,
            self._everybody_is_accounted_for,
        )
        return [violation for check in checks for violation in check()]

    def _one_post_a_step(self) -> Iterator[Failure]:
        sent = Counter((post.vm, post.step) for post in self.posts)
        for (vm, step), count in sent.items():
            claimed = self.claims.get((vm, step), 0)
            if count > claimed:
                yield _failure(0.0, f"{claimed} POSTs of {step} of {vm}, as claimed", f"{count}")

    def _waits_are_kept(self) -> Iterator[Failure]:
        by_vm = defaultdict(list)
        for reset in self._automatic():
            by_vm[reset.vm].append(reset)
        shortest = self._shortest_wait()
        for resets in by_vm.values():
            for first, second in pairwise(resets):
                if second.at - first.at < shortest and not self._owed_start(first, second):
                    wanted = f"{shortest:g} s between two attempts of {first.vm}"
                    yield _failure(second.at, wanted, f"{second.at - first.at:.0f} s")

    def _shortest_wait(self) -> float:
        timeout = min(one.stale_timeout_ms for one in self._configs()) / 1000
        return min(timeout, float(self.scenario.config.boot_grace_seconds)) - 1

    def _owed_start(self, first: Reset, second: Reset) -> bool:
        """A start that is owed waits for nothing."""
        return first.action == second.action == "StopStart" and first.outcome != Phase.SUCCEEDED

    def _never_after_being_blind(self) -> Iterator[Failure]:
        """An automatic reset comes a full timeout after the VM could be heard again, or later."""
        for post in self._automatic_posts():
            timeout = post.config.stale_timeout_ms / 1000
            if self._is_blind(post.at):
                yield _failure(post.at, f"no reset of {post.vm} while blind", post.step)
            heard = [at for at in self.record.heard.get(post.vm, ()) if at <= post.at]
            since = max([*heard[-1:], *self._floors(post.at)], default=0.0)
            if post.at - since < timeout - 1:
                wanted = f"{post.vm} silent for {timeout:g} s, and listened to, before its reset"
                yield _failure(post.at, wanted, f"{post.at - since:.0f} s")

    def _is_blind(self, moment: float) -> bool:
        """Whether no heartbeat could be stored for long enough to know."""
        since: dict[str, float] = {}
        for event in self.scenario.events:
            match event.happening:
                case Outage("ingest" | "database" as part, up) if event.at <= moment and up:
                    since.pop(part, None)
                case Outage("ingest" | "database" as part, _) if event.at <= moment:
                    since.setdefault(part, event.at)
        return any(moment - began > BLIND_WITHIN for began in since.values())

    def _floors(self, before: float) -> Iterator[float]:
        """When outages ended that were long enough, jumps, and global stops."""
        since: dict[object, float] = {}
        for event in self.scenario.events:
            if event.at > before:
                return
            match event.happening:
                case Outage("ingest" | "database" as part, up):
                    yield from self._ended(since, part, event, up=up)
                case GlobalStop(stopped):
                    yield from self._ended(since, "stop", event, up=not stopped, least=0.0)
                case ClockJump(by) if abs(by) > SMALL_JUMP:
                    yield event.at

    def _ended(
        self,
        since: dict[object, float],
        part: object,
        event: Event,
        *,
        up: bool,
        least: float = BLIND_WITHIN,
    ) -> Iterator[float]:
        if not up:
            since.setdefault(part, event.at)
        elif part in since and event.at - since.pop(part) > least:
            yield event.at

    def _never_what_proxmox_has_busy(self) -> Iterator[Failure]:
        for post in self.posts:
            if post.lock or post.is_template or post.is_another or not post.is_here:
                yield _failure(post.at, f"no {post.step} of {post.vm} as it stands", f"{post}")
            elif post.step == "reset" and post.power in (None, "stopped", "paused", "prelaunch"):
                yield _failure(post.at, f"no reset of {post.vm}", f"its power is {post.power}")

    def _never_the_living(self) -> Iterator[Failure]:
        for post in self._automatic_posts():
            signals = post.config.safety.second_life_signals
            if post.lives and "guestAgent" in signals:
                yield _failure(post.at, f"no reset of {post.vm}, which lives", f"{post.step}")

    def _never_under_the_global_stop(self) -> Iterator[Failure]:
        stopped = False
        changes = [
            (one.at, one.happening.stopped)
            for one in self.scenario.events
            if isinstance(one.happening, GlobalStop)
        ]
        if any(self._is_away(at) for at, _ in changes):
            return
        for post in self._first_posts():
            for at, value in changes:
                stopped = value if at < post.at else stopped
            if stopped:
                yield _failure(post.at, "no reset under the global stop", f"{post.vm}")

    def _is_away(self, moment: float) -> bool:
        """Whether the database was away, so that what a person wanted came later."""
        away = False
        for event in self.scenario.events:
            match event.happening:
                case Outage("database", up) if event.at <= moment:
                    away = not up
        return away

    def _places_are_kept(self) -> Iterator[Failure]:
        percent = max(one.safety.max_concurrent_percent for one in self._configs())
        most = max(LEAST_IN_FLIGHT, len(self.scenario.fleet) * percent // 100)
        yield from Judged(self.scenario, self.record).in_flight_above(most)

    def _hours_are_kept(self) -> Iterator[Failure]:
        most = max(one.safety.max_resets_per_hour for one in self._configs())
        if any(isinstance(one.happening, ClockJump) for one in self.scenario.events):
            return
        sent = [reset.at for reset in self._automatic()]
        for number, at in enumerate(sent):
            within = sum(1 for other in sent[: number + 1] if at - other < HOUR - SLACK)
            if within > most:
                yield _failure(at, f"at most {most} resets an hour", f"{within}")

    def _everybody_is_accounted_for(self) -> Iterator[Failure]:
        until = self.scenario.until
        timeout = max(one.stale_timeout_ms for one in self._configs()) / 1000
        for one in self.ends:
            heard = self.record.heard.get(one.vm, ())
            silent_for = until - (heard[-1] if heard else 0.0)
            if one.is_off_by_us and not one.is_explained:
                yield _failure(until, f"{one.vm} on again, or held", "it is off, by us")
            if (
                one.reporting
                and not one.refused
                and silent_for < REPORTS_WITHIN
                and one.state == "down"
            ):
                yield _failure(until, f"{one.vm} healthy, as it reports", one.state)
            if silent_for > timeout + SETTLED and heard and not one.is_explained:
                yield _failure(
                    until, f"{one.vm} reset, held, or given up", f"{one.state}, nothing said"
                )

    def _automatic(self) -> list[Reset]:
        return [
            one
            for one in self.record.resets
            if one.source == Source.AUTO and one.outcome != Phase.DRY_RUN
        ]

    def _first_posts(self) -> list[Post]:
        """The first POST of each reset."""
        begun = {(one.vm, one.at) for one in self.record.resets}
        return [post for post in self.posts if (post.vm, post.at) in begun]

    def _automatic_posts(self) -> list[Post]:
        begun = {(one.vm, one.at) for one in self._automatic()}
        return [post for post in self.posts if (post.vm, post.at) in begun]

    def _configs(self) -> list[SystemConfigSpec]:
        return [self.scenario.config, *(post.config for post in self.posts)]


def _failure(at: float, expected: str, seen: str) -> Failure:
    return Failure(format_moment(at), expected, seen)
