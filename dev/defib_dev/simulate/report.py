"""Writes what came of scenarios: for people, as JSON, and as a trace. Pure."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from defib_dev.simulate.expectations import Failure
from defib_dev.simulate.many import Played, Tally
from defib_dev.simulate.moments import format_moment
from defib_dev.simulate.record import Hold, Reset, Transition
from defib_dev.simulate.run import Outcome

Shown = dict[str, object]


def as_json(outcome: Outcome) -> str:
    """Write an outcome as one line of JSON. Moments are written as in scenarios."""
    record = outcome.record
    return json.dumps(
        {
            "name": outcome.scenario.name,
            "passed": outcome.passed,
            "failures": [_failure(one) for one in outcome.failures],
            "resets": [_reset(one) for one in record.resets],
            "transitions": [_transition(one) for one in record.transitions],
            "holds": [_hold(one) for one in record.holds],
        }
    )


def as_text(outcome: Outcome) -> Iterator[str]:
    """Write an outcome as lines for people."""
    yield f"{'ok  ' if outcome.passed else 'FAIL'}  {outcome.scenario.name}"
    yield from _failures(outcome.failures)


def as_trace(outcome: Outcome) -> Iterator[str]:
    """Write every transition, reset and hold as a line of JSON, in the order of virtual time."""
    record = outcome.record
    lines: list[tuple[float, Shown]] = [
        *((one.at, {"event": "transition", **_transition(one)}) for one in record.transitions),
        *((one.at, {"event": "reset", **_reset(one)}) for one in record.resets),
        *((one.start, {"event": "hold", **_hold(one)}) for one in record.holds),
    ]
    for at, line in sorted(lines, key=lambda pair: pair[0]):
        yield json.dumps(
            {"scenario": outcome.scenario.name, "time": format_moment(at), "seconds": at, **line}
        )


def played_as_json(one: Played, file: Path | None) -> str:
    """Write what came of a seed as one line of JSON."""
    return json.dumps(
        {
            "seed": one.seed,
            "passed": not one.violations,
            "failures": [_failure(failure) for failure in one.violations],
            "resets": one.posts,
            "holds": dict(one.holds),
            "transitions": one.transitions,
            "file": None if file is None else str(file),
        }
    )


def played_as_text(one: Played, file: Path | None, tally: Tally) -> Iterator[str]:
    """Write what came of a seed, and how far the run has come, as lines for people."""
    if file is not None:
        yield f"FAIL  seed {one.seed}, kept as {file}"
        yield from _failures(one.violations)
    if tally.is_worth_a_line:
        broken = f"{tally.broken} broken" if tally.broken else "none broken"
        yield f"      {tally.played} of {tally.wanted} played, {tally.posts} resets, {broken}"


def _failure(one: Failure) -> Shown:
    return {"time": one.time, "expected": one.expected, "seen": one.seen}


def _failures(failures: Iterable[Failure]) -> Iterator[str]:
    for failure in failures:
        yield f"      at {failure.time}"
        yield f"         expected: {failure.expected}"
        yield f"         seen:     {failure.seen}"


def _reset(one: Reset) -> Shown:
    return {
        "vm": one.vm,
        "at": format_moment(one.at),
        "action": one.action,
        "outcome": one.outcome,
        "recovered": one.recovered,
        "attempt": one.attempt,
        "source": one.source,
        "posted": one.posted,
        "error": one.error,
    }


def _transition(one: Transition) -> Shown:
    return {
        "vm": one.vm,
        "at": format_moment(one.at),
        "from": one.before,
        "to": one.after,
        "reason": one.reason,
    }


def _hold(one: Hold) -> Shown:
    return {
        "vm": one.vm,
        "reason": one.reason,
        "at": format_moment(one.start),
        "until": None if one.end is None else format_moment(one.end),
        "message": one.message,
    }
