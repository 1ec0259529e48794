"""An explanation as a person reads it in a terminal. Pure; plain text, no colours."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from textwrap import wrap
from typing import Any

from defib_core.domain.explain_words import at, duration
from defib_core.domain.explanation import Check, CheckResult, Explanation

MARKS = {
    CheckResult.PASSED: "passed",
    CheckResult.HOLDS: "HOLDS",
    CheckResult.NOT_ASKED: "not asked",
}
INDENTED: dict[str, Any] = {
    "width": 110,
    "initial_indent": "  ",
    "subsequent_indent": " " * 13,
    "break_on_hyphens": False,
}
GROUPS = {
    1: "a person's will, and history",
    2: "is Defib itself the sick one",
    3: "is it bigger than this VM",
    4: "what does Proxmox say",
    5: "is it alive after all",
}


def text_of(told: Explanation) -> str:
    """Write all of it; ends with a newline."""
    parts = [
        _head(told),
        _section("Clocks", _clocks(told)),
        _section("For a reset, in this order", _needed(told)),
        _section("Checks", _checks(told.checks)),
        _section("Attempts", _attempts(told)),
        _section("In force", _in_force(told)),
        _section("Last decisions, newest first", _decisions(told)),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _section(title: str, lines: Iterator[str]) -> list[str]:
    found = [f"  {line}" for line in lines]
    return [title, *found] if found else []


def _head(told: Explanation) -> list[str]:
    since = f"since {_ago(told.state_since, told.now)}"
    verdict = told.verdict
    reason = "" if verdict.reason is None else f"{verdict.reason}: "
    begun = "" if verdict.since is None else f" (since {_ago(verdict.since, told.now)})"
    return [
        *(f"WARNING: {warning}" for warning in told.warnings),
        f"{told.name} is {told.state.value} {since}",
        f"{reason}{verdict.message}{begun}",
    ]


def _clocks(told: Explanation) -> Iterator[str]:
    clocks, now = told.clocks, told.now
    heartbeat = clocks.last_heartbeat
    yield f"last heartbeat       {'never' if heartbeat is None else _ago(heartbeat, now)}"
    yield f"silence counts from  {at(clocks.counts_from)}: {clocks.counts_from_why}"
    limit = duration(clocks.stale_timeout)
    yield f"silent, so counted   {duration(clocks.floored_silence)} of {limit}"
    yield f"time is up           {_ago(clocks.runs_out_at, now)}"
    for floor in clocks.floors[1:]:
        yield f"floor                {at(floor.at)}: {floor.why}"


def _needed(told: Explanation) -> Iterator[str]:
    for number, sentence in enumerate(told.needed, start=1):
        yield f"{number}. {sentence}"


def _checks(checks: Sequence[Check]) -> Iterator[str]:
    """One line a check; neighbours that say the same share theirs."""
    if all(one.status is CheckResult.NOT_ASKED for one in checks):
        return
    group = 0
    for (number, status, message), alike in groupby(checks, key=_what_it_says):
        if number != group:
            group = number
            yield f"{group}. {GROUPS[group]}"
        names = ", ".join(one.reason.value for one in alike)
        yield from wrap(f"{MARKS[status]:9}  {names}: {message}", **INDENTED)


def _what_it_says(one: Check) -> tuple[int, CheckResult, str]:
    return one.group, one.status, one.message


def _attempts(told: Explanation) -> Iterator[str]:
    attempts = told.attempts
    yield f"{attempts.used} of {attempts.allowed} are used, {attempts.left} left"
    if attempts.last_at is not None:
        yield f"the last was made {_ago(attempts.last_at, told.now)}"
    if attempts.pending:
        yield "a reset was sent, and no heartbeat has come since"
    if attempts.next_not_before is not None and attempts.next_not_before > told.now:
        yield f"the next may be at {at(attempts.next_not_before)}"


def _in_force(told: Explanation) -> Iterator[str]:
    for one in told.in_force:
        since = "" if one.since is None else f", since {at(one.since)}"
        until = "" if one.until is None else f", until {at(one.until)}"
        yield f"{one.reason}: {one.message}{since}{until}"


def _decisions(told: Explanation) -> Iterator[str]:
    for one in told.decisions:
        until = "" if one.until is None else f" until {at(one.until)}"
        yield f"{at(one.at)}{until}  {one.kind}: {one.message}"


def _ago(moment: datetime, now: datetime) -> str:
    if moment > now:
        return f"{at(moment)} (in {duration(moment - now)})"
    return f"{at(moment)} ({duration(now - moment)} ago)"
