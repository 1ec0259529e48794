"""Each kind of expectation fails when it should, and says what was expected and what was seen.

One scenario is played once; every test asks something else of what happened in it.
"""

from collections.abc import Callable

import pytest

from defib_dev.simulate.expectations import Failure, Judged
from defib_dev.simulate.parse import parse_scenario
from defib_dev.simulate.run import Outcome

STORY = """\
name: story
config: {maxResetAttempts: 1}
fleet:
  - {prefix: web-, count: 10, vmid: 100, node: pve1}
guests:
  web-4: {boots: never}
events:
  - {at: 5m, proxmox: {vm: web-5, lock: backup}}
  - {at: 10m, silence: [web-3, web-4]}
  - {at: 22m, manualReset: web-5, reason: asked}
  - {at: 24m, manualReset: web-6, reason: asked}
until: 30m
"""
Ask = Callable[[str], list[Failure]]


@pytest.fixture(scope="module")
def played(play: Callable[[str], Outcome]) -> Outcome:
    return play(STORY)


@pytest.fixture(scope="module")
def ask(played: Outcome) -> Ask:
    """Holds an `expect` against what happened in the story."""

    def failures(expect: str) -> list[Failure]:
        scenario = parse_scenario(f"{STORY}expect:\n  {expect}")
        return Judged(scenario, played.record).failures()

    return failures


RIGHT = [
    (
        "resets: [{vm: web-3, at: 14m30s..15m30s, outcome: succeeded, recovered: true},"
        " {vm: web-4, at: '>=14m', outcome: succeeded, recovered: false},"
        " {vm: web-6, at: 24m..25m}]"
    ),
    "maxResets: 3",
    "maxInFlight: 2",
    "health: [{vm: web-3, at: 9m, is: healthy}, {vm: web-3, at: 15m30s, is: down}]",
    "health: [{vm: web-4, at: 25m, is: reset_failed}, {vm: web-0, at: 0, is: unknown}]",
    "health: [{vm: all, at: 9m, is: healthy}]",
    "attempts: [{vm: web-3, at: 9m, is: 0}, {vm: web-3, at: 20m, is: 1}]",
    "holds: [{vm: web-4, reason: AttemptsExhausted}]",
    "holds: [{vm: all, reason: AttemptsExhausted, at: 16m..18m}]",
    "holds: []",
    "noHolds: [FleetBrake, NodeBrake]",
    "manual: [{vm: web-5, at: 22m, accepted: false, reason: VMLocked}]",
    "manual: [{vm: web-5, at: 22m, accepted: false}, {vm: web-6, at: 24m, accepted: true}]",
]


@pytest.mark.parametrize("expect", RIGHT)
def test_what_happened_may_be_expected(ask: Ask, expect: str) -> None:
    assert ask(expect) == []


ALL_RESETS = "{vm: web-3, at: '>=10m'}, {vm: web-4, at: '>=10m'}, {vm: web-6, at: 24m..25m}"
WRONG = {
    "a reset that did not happen": (
        f"resets: [{ALL_RESETS}, {{vm: web-7, at: '>=0s'}}]",
        ">=0s",
        "Reset of web-7",
        "nothing",
    ),
    "a reset too early": (
        "resets: [{vm: web-3, at: 5m..14m}, {vm: web-4, at: '>=10m'}, {vm: web-6, at: 24m..25m}]",
        "5m..14m",
        "Reset of web-3",
        "Reset of web-3 at 14m40.6s, succeeded, recovered",
    ),
    "a reset nobody expected": (
        "resets: [{vm: web-3, at: '>=10m'}, {vm: web-4, at: '>=10m'}]",
        "24m",
        "no reset of web-6",
        "Reset of web-6 at 24m",
    ),
    "another outcome": (
        (
            "resets: [{vm: web-3, at: '>=10m', outcome: failed}, {vm: web-4, at: '>=10m'},"
            " {vm: web-6, at: 24m..25m}]"
        ),
        ">=10m",
        "Reset of web-3, failed",
        "succeeded",
    ),
    "a recovery that was not": (
        (
            "resets: [{vm: web-3, at: '>=10m'}, {vm: web-4, at: '>=10m', recovered: true},"
            " {vm: web-6, at: 24m..25m}]"
        ),
        ">=10m",
        "Reset of web-4, recovered",
        "not recovered",
    ),
    "another action": (
        (
            "resets: [{vm: web-3, at: '>=10m', action: StopStart}, {vm: web-4, at: '>=10m'},"
            " {vm: web-6, at: 24m..25m}]"
        ),
        ">=10m",
        "StopStart of web-3",
        "Reset of web-3",
    ),
    "two resets for one": (
        f"resets: [{ALL_RESETS}, {{vm: web-3, at: '>=10m'}}]",
        ">=10m",
        "Reset of web-3",
        "Reset of web-3",
    ),
    "too many resets": ("maxResets: 2", "24m", "at most 2 resets", "3: "),
    "too many in flight": ("maxInFlight: 1", "14m", "at most 1 resets in flight", "2 at once"),
    "another state": (
        "health: [{vm: web-3, at: 15m30s, is: healthy}]",
        "15m30s",
        "web-3 is healthy",
        "web-3 is down",
    ),
    "a state not everybody is in": (
        "health: [{vm: all, at: 25m, is: healthy}]",
        "25m",
        "web-4 is healthy",
        "web-4 is reset_failed",
    ),
    "another count": (
        "attempts: [{vm: web-3, at: 20m, is: 2}]",
        "20m",
        "web-3 has 2 attempts",
        "it has 1",
    ),
    "a hold that was not": (
        "holds: [{vm: web-3, reason: VMLocked}]",
        "any time",
        "web-3 held: VMLocked",
        "web-3 AttemptsExhausted 14m",
    ),
    "a hold at another time": (
        "holds: [{vm: all, reason: AttemptsExhausted, at: 1m..14m}]",
        "1m..14m",
        "any VM held: AttemptsExhausted",
        "web-4 AttemptsExhausted 15m",
    ),
    "a hold that was": (
        "noHolds: [AttemptsExhausted]",
        "14m",
        "no hold AttemptsExhausted",
        "web-3: 1 of 1 attempts are used",
    ),
    "a refusal that was none": (
        "manual: [{vm: web-6, at: 24m, accepted: false, reason: VMLocked}]",
        "24m",
        "reset of web-6 refused (VMLocked)",
        "accepted",
    ),
    "another reason of a refusal": (
        "manual: [{vm: web-5, at: 22m, accepted: false, reason: Paused}]",
        "22m",
        "reset of web-5 refused (Paused)",
        "refused (VMLocked)",
    ),
    "an answer to nobody": (
        "manual: [{vm: web-6, at: 23m, accepted: true}]",
        "23m",
        "reset of web-6 accepted",
        "nothing",
    ),
}


@pytest.mark.parametrize(("expect", "time", "wanted", "seen"), WRONG.values(), ids=WRONG.keys())
def test_what_did_not_happen_fails_with_time_expected_and_seen(
    ask: Ask, expect: str, time: str, wanted: str, seen: str
) -> None:
    found = ask(expect)
    assert found, "no failure was found"
    assert any(
        one.time.startswith(time) and wanted in one.expected and seen in one.seen for one in found
    ), found
