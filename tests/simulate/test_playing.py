"""The simulator itself: always the same, nothing lost by skipping, errors not hidden."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from defib_dev.simulate.chance import scenario_text
from defib_dev.simulate.database import SimulatedDatabase
from defib_dev.simulate.parse import parse_scenario, read_scenario
from defib_dev.simulate.reading import NotAScenario
from defib_dev.simulate.record import Record
from defib_dev.simulate.run import Outcome, simulate
from defib_operator.sweep import Sweep
from support.waiting import eventually

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
QUIET_AND_NOT = (
    "proxmox-lies/backup-lock-defers-the-reset",
    "flapping-guests/dies-again-after-each-reset",
    "clocks/jump-forward-while-one-is-silent",
    "outages/blindness-is-named-before-proxmox",
)
RANDOM_ONES = range(101, 109)
FLEET = "name: n\nfleet: [{prefix: web-, count: 4, vmid: 100, node: pve1}]\n"
Play = Callable[[str], Outcome]


def told(record: Record) -> object:
    """What can be compared of two runs: all but the ids."""
    return (
        sorted((one.vm, one.at, one.action, str(one.outcome)) for one in record.resets),
        sorted((one.vm, one.at, one.after) for one in record.transitions),
        sorted((one.vm, one.start, one.reason, str(one.end)) for one in record.holds),
        record.attempts,
    )


@pytest.mark.parametrize("name", QUIET_AND_NOT)
def test_skipping_quiet_time_changes_nothing(
    name: str, simulated_database: SimulatedDatabase
) -> None:
    scenario = read_scenario(SCENARIOS / f"{name}.yaml")
    skipped = simulate(scenario, simulated_database)
    played = simulate(scenario, simulated_database, skips=False)
    assert told(skipped.record) == told(played.record)


@pytest.mark.parametrize("seed", RANDOM_ONES)
def test_what_is_left_out_of_a_random_scenario_changes_nothing(
    seed: int, simulated_database: SimulatedDatabase
) -> None:
    scenario = parse_scenario(scenario_text(seed))
    spared = simulate(scenario, simulated_database)
    played = simulate(scenario, simulated_database, skips=False)
    assert told(spared.record) == told(played.record)


def test_the_same_scenario_always_takes_the_same_course(play: Play) -> None:
    text = FLEET + "events: [{at: 2m, silence: [web-1, web-2]}]\nuntil: 20m"
    assert told(play(text).record) == told(play(text).record)


def test_nothing_of_a_scenario_is_left_for_the_next(play: Play) -> None:
    play(FLEET + "events: [{at: 2m, silence: all}, {at: 3m, globalStop: true}]\nuntil: 10m")
    after = play(FLEET + "until: 10m\nexpect: {health: [{vm: all, at: 5m, is: healthy}]}")
    assert after.passed
    assert not after.record.holds


def test_an_event_that_cannot_happen_is_named_with_its_line(play: Play) -> None:
    text = FLEET + (
        "events:\n  - {at: 1m, proxmox: {vm: web-1, exists: false}}\n"
        "  - {at: 2m, silence: [web-1]}\nuntil: 5m"
    )
    with pytest.raises(NotAScenario, match="there is no guest 101") as refusal:
        play(text)
    assert refusal.value.line == 5


def test_an_error_in_production_code_fails_the_scenario(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Sweep) -> None:
        raise LookupError("this sweep is broken")

    monkeypatch.setattr(Sweep, "tick", broken)
    outcome = play(FLEET + "until: 3m")
    assert not outcome.passed
    assert "this sweep is broken" in outcome.failures[0].seen


def test_the_outage_of_the_database_is_no_error_of_the_operator(play: Play) -> None:
    outcome = play(FLEET + "events: [{at: 1m, database: down}, {at: 3m, database: up}]\nuntil: 5m")
    assert outcome.passed


def test_reports_are_spread_evenly_over_thirty_seconds(play: Play) -> None:
    heard = play(FLEET + "until: 2m").record.heard
    firsts = [round(heard[f"web-{n}"][0], 1) for n in range(4)]
    assert firsts == [0.0, 7.5, 15.0, 22.5]


def test_a_dry_run_and_a_claim_without_a_post_are_told_apart_from_posts(play: Play) -> None:
    dry = play(FLEET + "config: {dryRun: true}\nevents: [{at: 2m, silence: [web-1]}]\nuntil: 10m")
    assert [(one.outcome, one.posted) for one in dry.record.resets] == [("dry_run", False)]
    killed = play(
        FLEET + "events:\n  - {at: 1m, operator: kill, killAt: sending}\n"
        "  - {at: 2m, silence: [web-1]}\nuntil: 10m\nexpect: {resets: [], maxResets: 0}"
    )
    assert [(one.outcome, one.posted) for one in killed.record.resets] == [(None, False)]
    assert killed.passed


def test_a_refused_config_change_leaves_the_last_one_in_force(
    simulated_database: SimulatedDatabase,
) -> None:
    scenario = parse_scenario(
        FLEET + "events: [{at: 1m, config: {staleTimeoutMs: 1000}}]\nuntil: 5m\n"
        "expect: {health: [{vm: all, at: 4m, is: healthy}]}"
    )
    assert simulate(scenario, simulated_database).passed


def test_all_are_those_guests_that_there_are(play: Play) -> None:
    outcome = play(
        FLEET + "events: [{at: 1m, proxmox: {vm: web-1, exists: false}}, {at: 2m, silence: all},"
        " {at: 3m, resume: all}]\nuntil: 4m\nexpect: {health: [{vm: web-2, at: 4m, is: healthy}]}"
    )
    assert outcome.passed


def test_a_scenario_leaves_no_connection_more_than_the_one_before(
    play: Play, simulated_database: SimulatedDatabase
) -> None:
    text = "{name: short, fleet: [{name: web-01, vmid: 100, node: pve1}], until: 2m, expect: {}}"

    def connections() -> int:
        with psycopg.connect(simulated_database.url) as connection:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            (count,) = connection.execute(asked).fetchone() or (0,)
        return int(count)

    assert play(text).passed
    before = connections()
    assert all(play(text).passed for _ in range(5))
    # Backends take a moment to end.
    eventually(lambda: connections() <= before, what="no more connections than before")
