"""Random scenarios: the same for the same seed, none breaks an invariant, and one can break."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from defib_core.domain import decide as rules
from defib_core.domain.limits import Wanting
from defib_core.store import execution, sweep
from defib_dev.simulate.chance import scenario_text
from defib_dev.simulate.database import SimulatedDatabase
from defib_dev.simulate.many import keep, play_seed, play_seeds
from defib_dev.simulate.parse import parse_scenario, read_scenario
from defib_dev.simulate.run import Outcome, simulate
from defib_operator import judging, pipeline
from defib_operator import sweep as sweeping
from defib_operator.proxmox import ProxmoxClient

SEEDS = range(1, 13)
FEW = """
name: few
config: {staleTimeoutMs: 60000, bootGraceSeconds: 60}
fleet: [{prefix: web-, count: 5, vmid: 100, node: pve1}]
"""
ONE_HANGS = FEW + "events: [{at: 2m, silence: [web-1]}]\nuntil: 8m\n"
Hold = Callable[[str], Outcome]


@pytest.fixture
def hold(simulated_database: SimulatedDatabase) -> Hold:
    """Plays a scenario given as text, and holds it to the invariants."""
    return lambda story: simulate(parse_scenario(story), simulated_database, invariants=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_scenario_breaks_no_invariant(
    seed: int, simulated_database: SimulatedDatabase
) -> None:
    assert play_seed(seed, simulated_database).violations == ()


def test_a_seed_always_makes_the_same_scenario_and_every_one_can_be_read() -> None:
    texts = [scenario_text(seed) for seed in range(200)]
    assert texts == [scenario_text(seed) for seed in range(200)]
    assert len(set(texts)) == len(texts)
    for one in texts:
        parse_scenario(one)


def test_a_kept_scenario_is_the_one_that_was_played(tmp_path: Path) -> None:
    file = keep(7, tmp_path / "made" / "on the way")
    assert read_scenario(file) == parse_scenario(scenario_text(7))


def test_several_processes_play_every_seed_once() -> None:
    played = list(play_seeds(range(1, 4), jobs=2))
    assert sorted(one.seed for one in played) == [1, 2, 3]


def broken(outcome: Outcome, words: str) -> bool:
    return any(words in failure.expected for failure in outcome.failures)


def test_without_mutations_the_stories_below_break_nothing(hold: Hold) -> None:
    for story in (ONE_HANGS, UNDER_STOP, LOCKED, AGENT_DIED, CROWD, OUTAGE):
        assert hold(story).failures == []


UNDER_STOP = FEW + (
    "events: [{at: 2m, globalStop: true}, {at: 2m10s, silence: [web-1]}]\nuntil: 6m\n"
)


def test_a_pipeline_without_the_global_stop_breaks_an_invariant(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "BEFORE_LOOK", rules.BEFORE_LOOK[1:])
    claim = execution.CLAIM.text.replace(
        "AND NOT EXISTS (SELECT FROM global_stop g WHERE g.ended_at IS NULL)", ""
    )
    monkeypatch.setattr(execution, "CLAIM", text(claim))
    assert broken(hold(UNDER_STOP), "no reset under the global stop")


def test_a_claim_alone_stands_against_a_decision_that_forgot_the_global_stop(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "BEFORE_LOOK", rules.BEFORE_LOOK[1:])
    assert not broken(hold(UNDER_STOP), "no reset under the global stop")


def test_a_post_sent_twice_breaks_an_invariant(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    once = ProxmoxClient.post_power

    async def twice(client: ProxmoxClient, *arguments: object) -> object:
        await once(client, *arguments)  # type: ignore[arg-type]  # passed on as it came
        return await once(client, *arguments)  # type: ignore[arg-type]  # same

    monkeypatch.setattr(ProxmoxClient, "post_power", twice)
    assert broken(hold(ONE_HANGS), "1 POSTs of reset of web-1, as claimed")


# Without signals of life: traffic of a locked guest is never watched for long enough.
LOCKED = FEW.replace("Seconds: 60}", "Seconds: 60, safety: {secondLifeSignals: []}}") + (
    "events: [{at: 2m, proxmox: {vm: web-1, lock: backup}}, {at: 2m5s, silence: [web-1]}]\n"
    "until: 6m\n"
)


def test_a_reset_under_a_backup_breaks_an_invariant(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "_busy", lambda *_: None)
    monkeypatch.setattr(sweeping, "_clock_restarts", lambda *_: False)
    monkeypatch.setattr(pipeline, "is_released", lambda *_: False)
    assert broken(hold(LOCKED), "no reset of web-1 as it stands")


AGENT_DIED = FEW + "events: [{at: 2m, agentDies: [web-1]}]\nuntil: 6m\n"


def test_a_reset_of_a_living_guest_breaks_an_invariant(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "_signs_of_life", lambda *_: None)
    assert broken(hold(AGENT_DIED), "no reset of web-1, which lives")


CROWD = FEW + (
    "events: [{at: 2m, silence: [web-0]}, {at: 2m1s, silence: [web-1]}, "
    "{at: 2m2s, silence: [web-2]}]\nuntil: 6m\n"
)


def test_brakes_and_places_off_break_an_invariant(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    def places_for_all(wanting: list[Wanting], *_: object) -> dict[int, None]:
        return {one.vm_id: None for one in wanting}

    monkeypatch.setattr(judging, "scopes_of", lambda *_: ())
    monkeypatch.setattr(sweeping, "allot", places_for_all)
    assert broken(hold(CROWD), "at most 2 resets in flight")


OUTAGE = FEW + "events: [{at: 2m, ingest: down}, {at: 4m, ingest: up}]\nuntil: 7m\n"


def test_an_operator_that_takes_no_note_of_blindness_breaks_an_invariant(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fresh(*_: object) -> object:
        return (await sweeping.database_now(_[0])) if _ else None  # type: ignore[arg-type]  # a connection

    async def never(*_: object) -> None:
        return None

    monkeypatch.setattr(sweep, "last_proof", fresh)
    monkeypatch.setattr(sweep, "last_blindness", never)
    monkeypatch.setattr(judging, "scopes_of", lambda *_: ())
    monkeypatch.setattr(rules, "_signs_of_life", lambda *_: None)
    assert broken(hold(OUTAGE), "while blind")


def test_a_silent_vm_that_nobody_judges_breaks_an_invariant(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: object, **__: object) -> list[object]:
        return []

    monkeypatch.setattr(sweep, "candidates", nobody)
    assert broken(hold(ONE_HANGS), "web-1 reset, held, or given up")
