"""Why a VM is, or is not, being reset: what is known of it, put in the words of the rules. Pure.

It judges by the very checks of decide.py and invents none. What only the operator can know (what
Proxmox says, whether Kubernetes is heard) it takes from the operator's last word, the open hold.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from defib_core.domain.decide import BEFORE_LOOK, Hold, decide
from defib_core.domain.explain_words import NEEDED, PASSED, at, duration
from defib_core.domain.explanation import (
    Attempts,
    Check,
    CheckResult,
    Clocks,
    Explanation,
    Facts,
    Floor,
    Verdict,
    VerdictKind,
)
from defib_core.domain.policy import LifeSignal
from defib_core.domain.reasons import HoldReason
from defib_core.domain.states import State

FIRST_OF_GROUP = (
    HoldReason.GLOBAL_STOP,
    HoldReason.INGEST_BLIND,
    HoldReason.PATH_FAILURE,
    HoldReason.PROXMOX_UNREACHABLE,
    HoldReason.GUEST_AGENT_ALIVE,
)
ORDER = {reason: number for number, reason in enumerate(HoldReason)}
GROUP_OF = {
    reason: sum(ORDER[first] <= ORDER[reason] for first in FIRST_OF_GROUP) for reason in HoldReason
}
"""1 a person's will and history, 2 our own health, 3 many VMs at once, 4 Proxmox, 5 its life."""
IN_PROXMOX, ALIVE_AFTER_ALL = 4, 5
LIMITS = (HoldReason.HOURLY_LIMIT, HoldReason.IN_FLIGHT_LIMIT)
"""Handed out last, among those that nothing else holds."""
ASKED = frozenset(
    {
        HoldReason.CONTROL_PLANE_STALE,
        *LIMITS,
        *(reason for reason, group in GROUP_OF.items() if group >= IN_PROXMOX),
    }
)
"""What only the operator knows: taken from its last word."""

NO_SWEEP_AFTER = timedelta(minutes=1)


def explain(facts: Facts) -> Explanation:
    """Say everything that is known of why."""
    verdict = _verdict(facts)
    checks = _checks(facts, verdict)
    return Explanation(
        name=facts.name,
        now=facts.now,
        state=facts.case.observation.state,
        state_since=facts.state_since,
        warnings=_warnings(facts),
        clocks=_clocks(facts),
        verdict=verdict,
        needed=_needed(facts, verdict, checks),
        checks=checks,
        attempts=_attempts(facts),
        in_force=facts.in_force,
        decisions=facts.decisions,
    )


AGENT_SUSPECTED = (
    "it has shown signs of life in Proxmox for more than an hour, and does not report:"
    " repair its agent"
)


def _warnings(facts: Facts) -> list[str]:
    suspected = [AGENT_SUSPECTED] if facts.agent_suspected else []
    return [*_nobody_sweeps(facts), *_two_machines(facts), *suspected]


def _two_machines(facts: Facts) -> list[str]:
    if facts.clone_since is None:
        return []
    warning = (
        f"two machines seem to report as this VM since {at(facts.clone_since)}: their boot ids"
        " alternate. While one of them reports, the VM looks alive although the other may be dead,"
        " and no report proves that a reset helped; stop the agent in the copy, and enrol it by"
        " itself"
    )
    return [warning]


def _nobody_sweeps(facts: Facts) -> list[str]:
    if facts.swept_at is None:
        return ["no operator has ever looked at the fleet: nothing is judged, nothing is reset"]
    age = facts.now - facts.swept_at
    interval = facts.case.treatment.policy.stale_check_interval
    if age <= max(3 * interval, NO_SWEEP_AFTER):
        return []
    since = f"{at(facts.swept_at)} ({duration(age)} ago)"
    return [f"no operator has swept since {since}: nothing is judged, nothing is reset"]


def _clocks(facts: Facts) -> Clocks:
    seen = facts.case.observation
    floors = sorted(facts.floors, key=lambda one: one.at, reverse=True)
    heard = () if seen.last_heartbeat is None else (Floor(seen.last_heartbeat, "its heartbeat"),)
    latest = max(
        (*heard, *floors),
        key=lambda one: one.at,
        default=Floor(seen.clock_floor, "its clock was started"),
    )
    return Clocks(
        last_heartbeat=seen.last_heartbeat,
        counts_from=latest.at,
        counts_from_why=latest.why,
        floored_silence=facts.now - latest.at,
        stale_timeout=seen.stale_timeout,
        runs_out_at=latest.at + seen.stale_timeout,
        floors=[one for one in floors if not heard or one.at > heard[0].at],
    )


def _verdict(facts: Facts) -> Verdict:
    seen = facts.case.observation
    if facts.not_managed is not None:
        return Verdict(VerdictKind.NOT_MANAGED, facts.not_managed)
    if facts.under_way is not None:
        return Verdict(VerdictKind.UNDER_WAY, facts.under_way)
    if seen.state is State.UNKNOWN:
        message = "it has never reported; install the agent, or check its key and address"
        return Verdict(VerdictKind.NEVER_REPORTED, message)
    if seen.state.is_alive:
        return Verdict(
            VerdictKind.ALIVE, "it reports; nothing is to be done", since=facts.state_since
        )
    return _verdict_on_silence(facts)


def _verdict_on_silence(facts: Facts) -> Verdict:
    clocks, case = _clocks(facts), facts.case
    if clocks.floored_silence <= clocks.stale_timeout:
        why = f"silence counts from {at(clocks.counts_from)}: {clocks.counts_from_why}"
        message = f"it is down, and has until {at(clocks.runs_out_at)} to report: {why}"
        return Verdict(VerdictKind.WAITING, message, since=clocks.counts_from)
    judged = decide(case, facts.now)
    if isinstance(judged, Hold):
        same = facts.hold is not None and facts.hold.reason is judged.reason
        since = facts.hold.since if facts.hold is not None and same else None
        return Verdict(VerdictKind.HELD, judged.message, judged.reason, since)
    if case.treatment.policy.dry_run and case.history.dry_run_done:
        message = "dryRun is on: what would have been done is in its history, once an incident"
        return Verdict(VerdictKind.RECORDED, message)
    if facts.hold is not None and facts.hold.reason in ASKED:
        return Verdict(VerdictKind.HELD, facts.hold.message, facts.hold.reason, facts.hold.since)
    message = "nothing that the database knows holds it; the next sweep asks Proxmox"
    return Verdict(VerdictKind.DUE, message)


def _checks(facts: Facts, verdict: Verdict) -> list[Check]:
    if facts.not_managed is not None:
        message = "not judged: it is not managed"
        return [
            Check(GROUP_OF[reason], reason, CheckResult.NOT_ASKED, message) for reason in HoldReason
        ]
    held = _held(facts)
    word = verdict.reason if verdict.kind is VerdictKind.HELD and verdict.reason in ASKED else None
    return [_check(facts, reason, held, word) for reason in HoldReason]


def _held(facts: Facts) -> dict[HoldReason, str]:
    """Every check before Proxmox that holds now, not only the first."""
    found = {brake.reason: brake.message for brake in facts.case.around.brakes}
    for check in BEFORE_LOOK:
        held = check(facts.case, facts.now)
        if held is not None:
            found.setdefault(held.reason, held.message)
    return found


def _check(
    facts: Facts, reason: HoldReason, held: Mapping[HoldReason, str], word: HoldReason | None
) -> Check:
    group = GROUP_OF[reason]
    if reason in held:
        return Check(group, reason, CheckResult.HOLDS, held[reason])
    if reason is word and facts.hold is not None:
        return Check(group, reason, CheckResult.HOLDS, facts.hold.message)
    if reason in LIMITS:
        status = CheckResult.HOLDS if facts.traffic.is_full(reason) else CheckResult.PASSED
        return Check(group, reason, status, facts.traffic.message(reason))
    if reason in ASKED:
        return _asked(group, reason, word)
    return Check(group, reason, CheckResult.PASSED, PASSED[reason](facts.case))


def _asked(group: int, reason: HoldReason, word: HoldReason | None) -> Check:
    """A check that only the operator can make: passed where its last word came after it."""
    if reason is HoldReason.CONTROL_PLANE_STALE and word is None:
        message = "only the operator knows whether it hears the Kubernetes API"
        return Check(group, reason, CheckResult.NOT_ASKED, message)
    if word in LIMITS or (word is not None and ORDER[reason] < ORDER[word]):
        return Check(group, reason, CheckResult.PASSED, "as the operator last saw it")
    return Check(group, reason, CheckResult.NOT_ASKED, "asked when nothing before it holds")


def _needed(facts: Facts, verdict: Verdict, checks: Sequence[Check]) -> list[str]:
    """What would have to happen for a reset, in order."""
    if verdict.kind is VerdictKind.NOT_MANAGED:
        return ["a VirtualMachine must stand for it, and be accepted"]
    if verdict.kind is VerdictKind.UNDER_WAY:
        return []
    policy = facts.case.treatment.policy
    needed = [*_silence_needed(facts)]
    needed += [
        f"{one.reason}: {NEEDED[one.reason]} ({one.message})"
        for one in checks
        if one.status is CheckResult.HOLDS
    ]
    if policy.dry_run:
        needed.append("dryRun is set to false in its SystemConfig; until then it is only recorded")
    if any(one.status is CheckResult.NOT_ASKED for one in checks if one.group == IN_PROXMOX):
        needed.append(
            "Proxmox says that it is there, the same, running, and not paused, locked or moving"
        )
    if any(one.status is CheckResult.NOT_ASKED for one in checks if one.group == ALIVE_AFTER_ALL):
        needed += _no_sign_of_life(policy.safety.second_life_signals, policy.safety.io_window)
    return needed


def _silence_needed(facts: Facts) -> list[str]:
    clocks, state = _clocks(facts), facts.case.observation.state
    timeout = duration(clocks.stale_timeout)
    if state is State.UNKNOWN:
        return [f"it reports, and later falls silent for longer than {timeout}"]
    if clocks.floored_silence > clocks.stale_timeout:
        return []
    return [f"no heartbeat comes until {at(clocks.runs_out_at)}: {timeout} of silence"]


def _no_sign_of_life(signals: frozenset[LifeSignal], window: timedelta) -> list[str]:
    words = {
        LifeSignal.GUEST_AGENT: "its QEMU guest agent does not answer",
        LifeSignal.IO: f"its disks and network are still over {duration(window)}",
    }
    return [text for signal, text in words.items() if signal in signals]


def _attempts(facts: Facts) -> Attempts:
    history, treatment = facts.case.history, facts.case.treatment
    last = history.last_attempt_at
    wait = facts.case.wait
    return Attempts(
        used=history.attempts,
        allowed=treatment.max_attempts,
        left=max(0, treatment.max_attempts - history.attempts),
        last_at=last,
        next_not_before=None if last is None else last + wait,
        pending=facts.reset_pending,
    )
