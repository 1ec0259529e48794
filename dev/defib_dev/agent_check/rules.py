"""The protocol's rules for agents, each a pure function over what one was seen to do.

Upper limits of time have some grace, as a busy machine is late; lower limits have none but a
second's rounding.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from defib_dev.agent_check import fixtures
from defib_dev.agent_check.findings import Finding, Verdict, finding
from defib_dev.agent_check.record import BATCH, REPORT, Exchange

MOST_BYTES = 16 * 1024
MINUTE, MINUTE_MOST = 60.0, 65.0
ROUNDING = 1.0


@dataclass(frozen=True, slots=True)
class Expected:
    """How the agent was set up, and how patient the judge is. Seconds."""

    interval: float
    retry_after: float
    grace: float = 5.0
    quick: bool = False
    """True: the minute after a refused key is not waited for."""


Rule = Callable[[Sequence[Exchange], Expected], Finding]


def judge(seen: Sequence[Exchange], expected: Expected) -> list[Finding]:
    """Judge everything."""
    rules = [one for one in RULES if not (expected.quick and one is slows_down)]
    return [rule(seen, expected) for rule in rules]


def _in(step: str, seen: Iterable[Exchange]) -> list[Exchange]:
    return [one for one in seen if one.step == step]


def _reports(seen: Iterable[Exchange]) -> list[Exchange]:
    return [one for one in seen if one.is_report]


def _gaps(seen: Sequence[Exchange]) -> list[float]:
    """From each answer to the next report."""
    return [later.came - earlier.answered for earlier, later in pairwise(_reports(seen))]


def _after(step: str, seen: Sequence[Exchange]) -> float | None:
    """From the last answer of a step to the next report; None where there was none."""
    answers = [one.answered for one in _in(step, seen) if one.is_report]
    if not answers:
        return None
    return next((one.came - answers[-1] for one in _reports(seen) if one.came > answers[-1]), None)


def sends_json(seen: Sequence[Exchange], _: Expected) -> Finding:
    """Each request is a JSON object with the right type, and of bounded size."""
    rule = "each request is JSON, named so, and a report at most 16 KiB"
    return finding(rule, list(_bad_requests(seen))) if seen else _unseen(rule)


def _bad_requests(seen: Sequence[Exchange]) -> Iterator[str]:
    for one in seen:
        kind = one.headers.get("content-type", "nothing")
        if kind.split(";")[0].strip() != "application/json":
            yield f"Content-Type is {kind}"
        if not one.json:
            yield f"not a JSON object: {one.body[:60]!r}"
        if one.path == REPORT and len(one.body) > MOST_BYTES:
            yield f"{len(one.body)} bytes"


def sends_key(seen: Sequence[Exchange], _: Expected) -> Finding:
    """Each request has the key in its header, and only there."""
    rule = "each request has the key in X-API-Key, and nowhere else"
    troubles = ["no X-API-Key" for one in seen if not one.headers.get("x-api-key")]
    troubles += [
        "the key is in the body or the path"
        for one in seen
        if (key := one.headers.get("x-api-key")) and (key.encode() in one.body or key in one.path)
    ]
    return finding(rule, troubles) if seen else _unseen(rule)


def sends_fields(seen: Sequence[Exchange], _: Expected) -> Finding:
    """Each report has the required fields, says who it is, and every type is right."""
    rule = "each report has the required fields, and figures are numbers in their ranges"
    told = fixtures.load(fixtures.FIELDS)["fields"]
    reports = [one.json for one in _reports(seen)]
    troubles = [trouble for report in reports for trouble in _wrong_fields(report, told)]
    return finding(rule, troubles) if reports else _unseen(rule)


def _wrong_fields(report: dict[str, object], told: Iterable[dict[str, object]]) -> Iterator[str]:
    for field in told:
        name, value = str(field["name"]), report.get(str(field["name"]))
        if value is None and field["required"]:
            yield f"{name} is missing"
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and field["type"] == "number" and not is_number:
            yield f"{name} is {value!r}, not a number"
        if value is not None and field["type"] == "text" and not isinstance(value, str):
            yield f"{name} is {value!r}, not text"
    cpu = report.get("cpuUsage", 0)
    if isinstance(cpu, int | float) and not 0 <= cpu <= 100:  # noqa: PLR2004 - percent
        yield f"cpuUsage is {cpu}"


def keeps_interval(seen: Sequence[Exchange], expected: Expected) -> Finding:
    """While all is well the reports come once an interval, on average."""
    rule = f"reports come every {expected.interval:g} s while they are accepted"
    came = [one.came for one in _reports(_in("accepted", seen))]
    if len(came) < 3:  # noqa: PLR2004 - two gaps
        return _unseen(rule)
    mean = (came[-1] - came[0]) / (len(came) - 1)
    is_right = (
        0.8 * expected.interval - ROUNDING <= mean <= 1.1 * expected.interval + expected.grace
    )
    return finding(rule, [] if is_right else [f"every {mean:.1f} s"])


def backs_off(seen: Sequence[Exchange], expected: Expected) -> Finding:
    """After failures it tries again within an interval, and not at once."""
    rule = "after a 500 it tries again within an interval, and not at once"
    gaps = _gaps(_in("outage", seen))
    most = expected.interval + expected.grace
    troubles = [f"after {gap:.1f} s" for gap in gaps if not 0.5 <= gap <= most]  # noqa: PLR2004
    return finding(rule, troubles) if gaps else _unseen(rule)


def replays(seen: Sequence[Exchange], _: Expected) -> Finding:
    """What an outage hid follows the first accepted report, oldest first, with ages."""
    rule = "kept samples follow the first accepted report in a batch, oldest first, with their ages"
    batches = [one for one in seen if one.path == BATCH]
    return finding(rule, list(_bad_batches(seen, batches))) if batches else _unseen(rule)


def _bad_batches(seen: Sequence[Exchange], batches: Sequence[Exchange]) -> Iterator[str]:
    for one in batches:
        before = [other for other in seen if other.came < one.came]
        if not before or before[-1].path != REPORT or not before[-1].is_accepted:
            yield "a batch came without an accepted report before it"
        reports = one.json.get("reports")
        if not isinstance(reports, list) or not 1 <= len(reports) <= 30:  # noqa: PLR2004
            yield "a batch has no `reports`, or more than 30"
            continue
        ages = [report.get("ageSeconds") for report in reports]
        if not all(isinstance(age, int | float) and age >= 0 for age in ages):
            yield f"ages are {ages}"
        elif ages != sorted(ages, reverse=True):
            yield f"not oldest first: {ages}"


def waits_as_told(seen: Sequence[Exchange], expected: Expected) -> Finding:
    """It waits at least as long as Retry-After says."""
    rule = (
        f"after a 503 with Retry-After: {expected.retry_after:g} it waits so long, and a back-off"
    )
    waited = _after("busy", seen)
    if waited is None:
        return _unseen(rule)
    most = expected.retry_after + expected.interval + expected.grace
    is_right = expected.retry_after - ROUNDING <= waited <= most
    return finding(rule, [] if is_right else [f"it waited {waited:.1f} s"])


def follows_no_redirect(seen: Sequence[Exchange], _: Expected) -> Finding:
    """The key goes where it was meant to."""
    rule = "it does not follow a redirect"
    if not _in("redirect", seen):
        return _unseen(rule)
    strange = [one.path for one in seen if one.path not in {REPORT, BATCH}]
    return finding(rule, [f"it asked {path}" for path in strange])


def slows_down(seen: Sequence[Exchange], expected: Expected) -> Finding:
    """A refused key is tried again once a minute, for ever."""
    rule = "after a 401 it goes on once a minute"
    waited = _after("refused", seen)
    if waited is None:
        return _unseen(rule)
    is_right = MINUTE - ROUNDING <= waited <= MINUTE_MOST + expected.grace
    return finding(rule, [] if is_right else [f"it waited {waited:.1f} s"])


def says_goodbye(seen: Sequence[Exchange], _: Expected) -> Finding:
    """Told to stop, it says so."""
    rule = 'when it is stopped in order its last report says "stopping"'
    if not _in("stop", seen):
        return _unseen(rule)
    last = _in("stop", seen)[-1]
    is_right = last.path == REPORT and last.json.get("status") == "stopping"
    return finding(rule, [] if is_right else ["the last one did not"])


def _unseen(rule: str) -> Finding:
    return Finding(rule, Verdict.NOT_SEEN)


RULES: Sequence[Rule] = (
    sends_json,
    sends_key,
    sends_fields,
    keeps_interval,
    backs_off,
    replays,
    waits_as_told,
    follows_no_redirect,
    slows_down,
    says_goodbye,
)
NOT_JUDGED = (
    "that the certificate is verified, that the moment within the interval stays the same over"
    " restarts, and that the key shows in no argument or log"
)
