"""Holds what happened against what was expected. Pure; says what was expected and what was seen."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from defib_core.domain.actions import Phase, Source
from defib_core.domain.states import State
from defib_dev.simulate.floors import small_jumps
from defib_dev.simulate.matching import match
from defib_dev.simulate.moments import format_moment
from defib_dev.simulate.record import Hold, Record, Reset
from defib_dev.simulate.scenario import (
    ALL,
    ExpectedHold,
    ExpectedManual,
    ExpectedReset,
    Scenario,
)
from defib_dev.simulate.world import Asked

NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that does not hold. `time` is written as in scenarios."""

    time: str
    expected: str
    seen: str

    def __str__(self) -> str:
        return f"at {self.time}: expected {self.expected}; seen: {self.seen}"


@dataclass(frozen=True, slots=True)
class Judged:
    """A scenario and what came of it."""

    scenario: Scenario
    record: Record

    def failures(self) -> list[Failure]:
        """Find every expectation that does not hold."""
        checks: Sequence[Callable[[], Iterator[Failure]]] = (
            self._resets,
            self._max_resets,
            self._max_in_flight,
            self._health,
            self._attempts,
            self._holds,
            self._no_holds,
            self._manual,
        )
        return [failure for check in checks for failure in check()]

    def _resets(self) -> Iterator[Failure]:
        expected = self.scenario.expect.resets
        if expected is None:
            return
        unmet, unexpected = match(expected, self.record.resets, _is_it)
        for one in unmet:
            of_vm = [reset for reset in self.record.resets if reset.vm == one.vm]
            yield Failure(str(one.at), _wanted(one), _listed(of_vm))
        for reset in unexpected:
            if reset.posted or reset.outcome == Phase.DRY_RUN:
                time = format_moment(reset.at)
                yield Failure(time, f"no reset of {reset.vm}", _told(reset))

    def _max_resets(self) -> Iterator[Failure]:
        most = self.scenario.expect.max_resets
        posted = [reset for reset in self.record.resets if reset.posted]
        if most is not None and len(posted) > most:
            time = format_moment(posted[most].at)
            yield Failure(time, f"at most {most} resets", f"{len(posted)}: {_listed(posted)}")

    def _max_in_flight(self) -> Iterator[Failure]:
        most = self.scenario.expect.max_in_flight
        if most is not None:
            yield from self.in_flight_above(most)

    def in_flight_above(
        self, most: int, among: Callable[[Reset], bool] | None = None
    ) -> Iterator[Failure]:
        """Find the first moment with more resets in flight: of all, or of some that were sent."""
        spans = self._flights(among)
        for start, _ in spans:
            together = sum(1 for begun, ended in spans if begun <= start < ended)
            if together > most:
                seen = f"{together} at once"
                yield Failure(format_moment(start), f"at most {most} resets in flight", seen)
                return

    def _flights(self, among: Callable[[Reset], bool] | None) -> list[tuple[float, float]]:
        """Say from when to when each reset was in flight: see docs/safety.md."""
        sent = [one for one in self.record.resets if one.outcome != Phase.DRY_RUN]
        if among is not None:
            return sorted(self._flight(one) for one in sent if among(one))
        spans = [self._flight(one) for one in sent]
        spans += [(one.intended_at, one.at) for one in self.record.cancelled if not one.is_manual]
        return sorted(spans)

    def _flight(self, reset: Reset) -> tuple[float, float]:
        is_auto = reset.source == Source.AUTO
        begun = reset.intended_at if is_auto else reset.at
        ends = [reset.at + self.scenario.config.boot_grace_seconds - small_jumps(self.scenario)]
        ends += [at for at in self.record.heard.get(reset.vm, ()) if at > begun][:1]
        if reset.outcome == Phase.FAILED and reset.ended_at is not None:
            ends.append(reset.ended_at)
        unfinished = self.scenario.until if reset.ended_at is None else reset.ended_at
        return begun, max(min(ends), min(unfinished, *ends[1:], self.scenario.until))

    def _health(self) -> Iterator[Failure]:
        for one in self.scenario.expect.health:
            for name in self._names(one.vm):
                seen = self._state(name, one.at)
                if seen != one.state:
                    time = format_moment(one.at)
                    yield Failure(time, f"{name} is {one.state.value}", f"{name} is {seen}")

    def _state(self, name: str, at: float) -> str:
        changes = [one for one in self.record.transitions if one.vm == name and one.at <= at]
        return changes[-1].after if changes else State.UNKNOWN.value

    def _attempts(self) -> Iterator[Failure]:
        for one in self.scenario.expect.attempts:
            for name in self._names(one.vm):
                changes = self.record.attempts.get(name, ())
                seen = next((count for at, count in reversed(changes) if at <= one.at), 0)
                if seen != one.count:
                    time = format_moment(one.at)
                    yield Failure(time, f"{name} has {one.count} attempts", f"it has {seen}")

    def _holds(self) -> Iterator[Failure]:
        for one in self.scenario.expect.holds:
            if not any(
                (one.vm in (ALL, hold.vm))
                and hold.reason == one.reason
                and (one.at is None or one.at.overlaps(hold.start, hold.end))
                for hold in self.record.holds
            ):
                time = "any time" if one.at is None else str(one.at)
                whose = "any VM" if one.vm == ALL else one.vm
                yield Failure(time, f"{whose} held: {one.reason.value}", self._holds_of(one))

    def _holds_of(self, expected: ExpectedHold) -> str:
        of_vm = [hold for hold in self.record.holds if expected.vm in (ALL, hold.vm)]
        return _some([_held(hold) for hold in sorted(of_vm, key=lambda hold: hold.start)])

    def _no_holds(self) -> Iterator[Failure]:
        for reason in self.scenario.expect.no_holds:
            held = [hold for hold in self.record.holds if hold.reason == reason]
            if held:
                time, seen = format_moment(held[0].start), f"{held[0].vm}: {held[0].message}"
                yield Failure(time, f"no hold {reason.value}", seen)

    def _manual(self) -> Iterator[Failure]:
        for one in self.scenario.expect.manual:
            answers = [
                self._answer(asked)
                for asked in self.record.asked
                if asked.vm == one.vm and asked.at == one.at
            ]
            if not any(_is_answer(one, *answer) for answer in answers):
                wanted = f"reset of {one.vm} {_answered(one.accepted, one.reason)}"
                seen = [_answered(accepted, reason) for accepted, reason in answers]
                yield Failure(format_moment(one.at), wanted, _some(seen))

    def _answer(self, asked: Asked) -> tuple[bool, str | None]:
        if asked.intent is None:
            return False, asked.refused
        refused = [one for one in self.record.cancelled if one.intent == asked.intent]
        return (False, refused[0].reason) if refused else (True, None)

    def _names(self, vm: str) -> list[str]:
        return [one.name for one in self.scenario.vms([vm])]


def _is_it(expected: ExpectedReset, seen: Reset) -> bool:
    return (
        expected.vm == seen.vm
        and expected.at.holds(seen.at)
        and expected.action == seen.action
        and expected.outcome in (None, seen.outcome)
        and expected.recovered in (None, seen.recovered)
    )


def _wanted(one: ExpectedReset) -> str:
    outcome = "" if one.outcome is None else f", {one.outcome}"
    recovered = {None: "", True: ", recovered", False: ", not recovered"}[one.recovered]
    return f"{one.action.value} of {one.vm}{outcome}{recovered}"


def _told(one: Reset) -> str:
    recovered = "recovered" if one.recovered else "not recovered"
    return (
        f"{one.action} of {one.vm} at {format_moment(one.at)}, "
        f"{one.outcome or 'unfinished'}, {recovered}"
    )


def _held(one: Hold) -> str:
    end = "" if one.end is None else format_moment(one.end)
    return f"{one.vm} {one.reason} {format_moment(one.start)}..{end}"


def _listed(resets: Sequence[Reset]) -> str:
    return _some([_told(one) for one in resets])


def _some(texts: Sequence[str], most: int = 8) -> str:
    more = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return "; ".join([*texts[:most], *more]) or NOTHING


def _is_answer(expected: ExpectedManual, accepted: bool, reason: str | None) -> bool:
    return expected.accepted == accepted and expected.reason in (None, reason)


def _answered(accepted: bool, reason: str | None) -> str:
    return "accepted" if accepted else f"refused ({reason or 'any reason'})"
