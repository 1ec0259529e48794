"""Each invariant of the random scenarios can fail: with a broken rule it does, else it does not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain import decide as rules
from defib_core.domain.actions import PowerStep
from defib_core.domain.limits import Wanting
from defib_core.domain.policy import Policy
from defib_core.store import execution, heartbeats, sweep
from defib_core.store.clock import database_now
from defib_dev.simulate.database import SimulatedDatabase
from defib_dev.simulate.parse import parse_scenario
from defib_dev.simulate.run import Outcome, simulate
from defib_operator import judging, pipeline
from defib_operator import sweep as sweeping
from defib_operator.proxmox import ProxmoxClient

BARE = """
name: few
config: {staleTimeoutMs: 60000, bootGraceSeconds: 60, safety: {secondLifeSignals: []}}
fleet: [{prefix: web-, count: 5, vmid: 100, node: pve1}]
"""
WATCHED = BARE.replace("[]", "[guestAgent]")
ONE_HANGS = BARE + "events: [{at: 2m, silence: [web-1]}]\nuntil: 5m\n"
NEVER_BOOTS = ONE_HANGS + "guests: {web-1: {boots: never}}\n"
UNDER_STOP = BARE + (
    "events: [{at: 2m, globalStop: true}, {at: 2m10s, silence: [web-1]}]\nuntil: 5m\n"
)
PAUSED = BARE + (
    "events: [{at: 2m, pause: web-1, reason: x}, {at: 2m10s, silence: [web-1]}]\nuntil: 5m\n"
)
LOCKED = BARE + (
    "events: [{at: 2m, proxmox: {vm: web-1, lock: backup}}, {at: 2m5s, silence: [web-1]}]\n"
    "until: 5m\n"
)
WINDOW = (
    "{name: w, matchLabels: {}, reason: x, "
    "from: '2026-01-01T00:01:00Z', until: '2026-01-01T00:20:00Z'}"
)
MAINTAINED = BARE.replace("safety", f"maintenance: [{WINDOW}], safety") + (
    "events: [{at: 2m, silence: [web-1]}]\nuntil: 5m\n"
)
SWITCHED_OFF = ONE_HANGS.replace("safety", "autoResetEnabled: false, safety")
REFUSED = BARE + "events: [{at: 2m, reject: [web-1]}]\nuntil: 5m\n"
UNARMED = BARE + "events: [{at: 20s, silence: [web-1]}]\nuntil: 4m\n"
AGENT_DIED = WATCHED + "events: [{at: 2m, agentDies: [web-1]}]\nuntil: 5m\n"
CROWD = BARE + "events: [{at: 2m, silence: [web-0, web-1, web-2]}]\nuntil: 5m\n"
OUTAGE = BARE + "events: [{at: 2m, ingest: down}, {at: 4m, ingest: up}]\nuntil: 5m\n"
PAUSE_ENDS = BARE + (
    "events: [{at: 2m, pause: web-1, minutes: 2, reason: x}, {at: 2m10s, silence: [web-1]}]\n"
    "until: 7m\n"
)
BACK_BEFORE_THE_POST = BARE + (
    "events: [{at: 1m, operator: kill, killAt: intent}, {at: 2m, silence: [web-1]},"
    " {at: 4m, resume: [web-1]}, {at: 5m, operator: start}]\nuntil: 7m\n"
)
ANSWER_LOST = BARE + (
    "events: [{at: 1m, nextPost: timeoutNotExecuted}, {at: 2m, silence: [web-1]}]\nuntil: 6m\n"
)
ONE_AN_HOUR = BARE.replace("safety: {", "safety: {maxResetsPerHour: 1, ") + (
    "events: [{at: 2m, silence: [web-1]}, {at: 5m, silence: [web-3]}]\nuntil: 8m\n"
)
ONE_ON_A_NODE = BARE.replace("safety: {", "safety: {maxConcurrentPerNode: 1, ") + (
    "events: [{at: 2m, silence: [web-1, web-3]}]\nuntil: 7m\n"
)
WINDOW_ENDS_LATE = (
    MAINTAINED.replace("00:20:00", "00:03:45")
    .replace("at: 2m", "at: 1m35s")
    .replace("until: 5m", "until: 4m40s")
)
HAS_JUST_BEEN_RESET = NEVER_BOOTS.replace("bootGraceSeconds: 60", "bootGraceSeconds: 120").replace(
    "until: 5m", "until: 4m55s"
)
NOBODY_WATCHES = BARE + (
    "events: [{at: 1m, operator: kill, killAt: intent}, {at: 2m, silence: [web-1]},"
    " {at: 2m40s, silence: [web-3]}]\nuntil: 7m\n"
)
STORIES = (
    NEVER_BOOTS,
    UNDER_STOP,
    PAUSED,
    LOCKED,
    MAINTAINED,
    SWITCHED_OFF,
    REFUSED,
    UNARMED,
    AGENT_DIED,
    CROWD,
    OUTAGE,
    PAUSE_ENDS,
    BACK_BEFORE_THE_POST,
    ANSWER_LOST,
    ONE_AN_HOUR,
    ONE_ON_A_NODE,
    WINDOW_ENDS_LATE,
    HAS_JUST_BEEN_RESET,
    NOBODY_WATCHES,
)
ONE_UNFINISHED = """CREATE UNIQUE INDEX reset_history_one_unfinished_per_vm ON reset_history (vm_id)
                    WHERE phase IN ('requested', 'sending', 'sent')"""
PAUSED_IN_CLAIM = """NOT EXISTS (SELECT FROM vm_paused z WHERE z.vm_id = s.vm_id
                                      AND z.reason IS NOT NULL
                                      AND (z.until IS NULL OR z.until > :now))"""
Hold = Callable[[str], Outcome]
Patch = pytest.MonkeyPatch


@pytest.fixture
def hold(simulated_database: SimulatedDatabase) -> Hold:
    """Plays a scenario given as text, and holds it to the invariants."""
    return lambda story: simulate(parse_scenario(story), simulated_database, invariants=True)


def broken(outcome: Outcome, words: str) -> bool:
    return any(words in failure.expected for failure in outcome.failures)


def without(patch: Patch, *names: str) -> None:
    """Let the decision forget some of its checks."""
    kept = tuple(check for check in rules.BEFORE_LOOK if check.__name__ not in names)
    assert len(kept) == len(rules.BEFORE_LOOK) - len(names)
    patch.setattr(rules, "BEFORE_LOOK", kept)


def claim_without(patch: Patch, condition: str) -> None:
    """Let the claim of a POST forget one of its conditions."""
    words = execution.CLAIM.text
    assert condition in words
    patch.setattr(execution, "CLAIM", text(words.replace(condition, "true")))


def places_for_all(wanting: list[Wanting], *_: object) -> dict[int, None]:
    return {one.vm_id: None for one in wanting}


def always(answer: object) -> Callable[..., Any]:
    return lambda *_, **__: answer


@pytest.mark.parametrize("story", STORIES)
def test_unbroken_rules_break_nothing(story: str, hold: Hold) -> None:
    assert hold(story).failures == []


def test_a_reset_under_the_global_stop(hold: Hold, monkeypatch: Patch) -> None:
    without(monkeypatch, "_global_stop")
    assert not broken(hold(UNDER_STOP), "no reset under the global stop"), "the claim alone stands"
    claim_without(monkeypatch, "NOT EXISTS (SELECT FROM global_stop g WHERE g.ended_at IS NULL)")
    assert broken(hold(UNDER_STOP), "no reset under the global stop")


def test_a_reset_of_a_paused_vm(hold: Hold, monkeypatch: Patch) -> None:
    without(monkeypatch, "_paused")
    claim_without(monkeypatch, PAUSED_IN_CLAIM)
    assert broken(hold(PAUSED), "no reset of web-1 while paused")


@pytest.mark.parametrize(
    ("story", "check", "words"),
    [
        (MAINTAINED, "_maintenance", "no reset of web-1 in maintenance"),
        (SWITCHED_OFF, "_auto_reset", "no reset of web-1 while that is off"),
        (REFUSED, "_rejected", "no reset of web-1, whose reports are refused"),
        (UNARMED, "_observing", "no reset of web-1 before 3 reports"),
        (NEVER_BOOTS, "_back_off", "s between attempts 1 and the next of web-1"),
    ],
)
def test_a_decision_that_forgot_a_check(
    story: str, check: str, words: str, hold: Hold, monkeypatch: Patch
) -> None:
    without(monkeypatch, check)
    assert broken(hold(story), words)


def test_more_attempts_than_there_are(hold: Hold, monkeypatch: Patch) -> None:
    without(monkeypatch, "_attempts", "_back_off")
    story = NEVER_BOOTS.replace("safety", "maxResetAttempts: 1, safety")
    monkeypatch.setattr(sweep, "GIVE_UP", text("SELECT 1 WHERE :now IS NULL"))
    assert broken(hold(story), "at most 1 attempts of web-1")


def _wet(policy: Policy) -> Policy:
    return replace(policy, dry_run=False)


def test_a_dry_run_that_is_sent(hold: Hold, monkeypatch: Patch) -> None:
    policy = judging._policy
    story = ONE_HANGS.replace("safety", "dryRun: true, safety")
    monkeypatch.setattr(judging, "_policy", lambda config: _wet(policy(config)))
    assert broken(hold(story), "no POST for web-1 in a dry run")


def test_a_post_sent_twice(hold: Hold, monkeypatch: Patch) -> None:
    once = ProxmoxClient.post_power

    async def twice(
        client: ProxmoxClient, node: str, vmid: int, step: PowerStep, not_after: float
    ) -> object:
        await once(client, node, vmid, step, not_after)
        return await once(client, node, vmid, step, not_after)

    monkeypatch.setattr(ProxmoxClient, "post_power", twice)
    assert broken(hold(ONE_HANGS), "1 POSTs of reset of web-1, as claimed")


def test_a_reset_under_a_backup(hold: Hold, monkeypatch: Patch) -> None:
    monkeypatch.setattr(rules, "_busy", always(None))
    monkeypatch.setattr(sweeping, "_clock_restarts", always(answer=False))
    monkeypatch.setattr(pipeline, "is_released", always(answer=False))
    assert broken(hold(LOCKED), "no reset of web-1 as it stands")


def test_a_reset_of_a_living_guest(hold: Hold, monkeypatch: Patch) -> None:
    monkeypatch.setattr(rules, "_signs_of_life", always(None))
    assert broken(hold(AGENT_DIED), "no reset of web-1, which lives")


def test_brakes_and_places_off(hold: Hold, monkeypatch: Patch) -> None:
    monkeypatch.setattr(judging, "scopes_of", always(()))
    monkeypatch.setattr(sweeping, "allot", places_for_all)
    assert broken(hold(CROWD), "at most 2 resets in flight")


def test_an_operator_that_takes_no_note_of_blindness(hold: Hold, monkeypatch: Patch) -> None:
    async def fresh(connection: AsyncConnection) -> object:
        return await database_now(connection)

    async def never(*_: object) -> None:
        return None

    monkeypatch.setattr(sweep, "last_proof", fresh)
    monkeypatch.setattr(sweep, "last_blindness", never)
    monkeypatch.setattr(judging, "scopes_of", always(()))
    outcome = hold(OUTAGE)
    assert broken(outcome, "not down while blind")
    assert broken(outcome, "while blind")


def test_an_outage_that_starts_no_clock(hold: Hold, monkeypatch: Patch) -> None:
    async def never(*_: object) -> None:
        return None

    monkeypatch.setattr(sweep, "last_blindness", never)
    assert broken(hold(OUTAGE), "and listened to, before it is down")


def test_a_silent_vm_that_nobody_judges(hold: Hold, monkeypatch: Patch) -> None:
    async def nobody(*_: object, **__: object) -> list[object]:
        return []

    monkeypatch.setattr(sweep, "candidates", nobody)
    assert broken(hold(ONE_HANGS), "web-1 reset, held, or given up")


def test_a_pause_that_starts_no_clock(hold: Hold, monkeypatch: Patch) -> None:
    monkeypatch.setattr(rules, "_is_candidate", always(answer=True))
    assert broken(hold(PAUSE_ENDS), "and listened to, before its reset")


def test_a_post_after_a_heartbeat(hold: Hold, monkeypatch: Patch) -> None:
    monkeypatch.setattr(rules, "_is_candidate", always(answer=True))
    monkeypatch.setattr(pipeline, "_heard_since", always(answer=False))
    assert not broken(hold(BACK_BEFORE_THE_POST), "heard since its intent"), "the claim stands"
    claim_without(monkeypatch, "s.state IN ('down', 'reset_failed')")
    claim_without(monkeypatch, "(s.last_heartbeat IS NULL OR s.last_heartbeat <= r.requested_at)")
    assert broken(hold(BACK_BEFORE_THE_POST), "no POST for web-1, heard since its intent")


def test_a_second_intent_beside_the_first(
    hold: Hold, monkeypatch: Patch, simulated_database: SimulatedDatabase
) -> None:
    without(monkeypatch, "_back_off")
    monkeypatch.setattr(rules, "_is_candidate", always(answer=True))
    assert not broken(hold(ANSWER_LOST), "one unfinished intent"), "the index alone stands"
    with simulated_database.sessions.one() as session:
        session.do("DROP INDEX reset_history_one_unfinished_per_vm")
        try:
            assert broken(hold(ANSWER_LOST), "one unfinished intent of web-1")
        finally:
            simulated_database.empty()
            session.do(ONE_UNFINISHED)


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (ONE_AN_HOUR, "at most 1 resets an hour"),
        (ONE_ON_A_NODE, "at most 1 resets in flight"),
    ],
)
def test_places_for_all(story: str, words: str, hold: Hold, monkeypatch: Patch) -> None:
    monkeypatch.setattr(sweeping, "allot", places_for_all)
    assert broken(hold(story), words)


def test_a_heartbeat_that_brings_nobody_back(hold: Hold, monkeypatch: Patch) -> None:
    comes_back = "state = old.new_state,"
    stays = "state = CASE old.state WHEN 'down' THEN 'down' ELSE old.new_state END,"
    assert comes_back in heartbeats.STORE
    monkeypatch.setattr(heartbeats, "STORE", heartbeats.STORE.replace(comes_back, stays))
    assert broken(hold(ONE_HANGS), "web-1 healthy, as it reports")
