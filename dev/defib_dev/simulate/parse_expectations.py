"""Reads what a scenario expects. Complains with the line."""

from defib_core.domain.actions import Action, Phase
from defib_core.domain.reasons import CancelReason, HoldReason
from defib_core.domain.states import State
from defib_dev.simulate.parse_events import Known
from defib_dev.simulate.reading import Value
from defib_dev.simulate.scenario import (
    ALL,
    Expectations,
    ExpectedAttempts,
    ExpectedHealth,
    ExpectedHold,
    ExpectedManual,
    ExpectedReset,
)

OUTCOMES = (Phase.SUCCEEDED, Phase.FAILED, Phase.UNKNOWN, Phase.DRY_RUN)


def parse_expectations(given: Value, known: Known) -> Expectations:
    """Read `expect`."""
    found = given.fields(
        (),
        (
            "resets",
            "maxResets",
            "maxInFlight",
            "health",
            "attempts",
            "holds",
            "noHolds",
            "manual",
        ),
    )
    items = {name: value.items() for name, value in found.items() if not name.startswith("max")}
    return Expectations(
        resets=(
            tuple(_reset(one, known) for one in items["resets"]) if "resets" in items else None
        ),
        max_resets=found["maxResets"].integer() if "maxResets" in found else None,
        max_in_flight=found["maxInFlight"].integer() if "maxInFlight" in found else None,
        health=tuple(_health(one, known) for one in items.get("health", ())),
        attempts=tuple(_attempts(one, known) for one in items.get("attempts", ())),
        holds=tuple(_hold(one, known) for one in items.get("holds", ())),
        no_holds=tuple(_hold_reason(one) for one in items.get("noHolds", ())),
        manual=tuple(_manual(one, known) for one in items.get("manual", ())),
    )


def _reset(given: Value, known: Known) -> ExpectedReset:
    found = given.fields(("vm", "at"), ("outcome", "recovered", "action"))
    action = found["action"].word(*(one.value for one in Action)) if "action" in found else "Reset"
    return ExpectedReset(
        vm=known.vm(found["vm"]),
        at=found["at"].window(),
        action=Action(action),
        outcome=(
            found["outcome"].word(*(one.value for one in OUTCOMES)) if "outcome" in found else None
        ),
        recovered=found["recovered"].truth() if "recovered" in found else None,
    )


def _health(given: Value, known: Known) -> ExpectedHealth:
    found = given.fields(("vm", "at", "is"))
    state = State(found["is"].word(*(one.value for one in State)))
    return ExpectedHealth(_one_or_all(found["vm"], known), known.moment(found["at"]), state)


def _attempts(given: Value, known: Known) -> ExpectedAttempts:
    found = given.fields(("vm", "at", "is"))
    vm = _one_or_all(found["vm"], known)
    return ExpectedAttempts(vm, known.moment(found["at"]), found["is"].integer())


def _hold(given: Value, known: Known) -> ExpectedHold:
    found = given.fields(("vm", "reason"), ("at",))
    window = found["at"].window() if "at" in found else None
    return ExpectedHold(_one_or_all(found["vm"], known), _hold_reason(found["reason"]), window)


def _manual(given: Value, known: Known) -> ExpectedManual:
    found = given.fields(("vm", "at", "accepted"), ("reason",))
    words = [one.value for one in (*HoldReason, *CancelReason)]
    reason = found["reason"].word(*words) if "reason" in found else None
    at = known.moment(found["at"])
    return ExpectedManual(known.vm(found["vm"]), at, found["accepted"].truth(), reason)


def _hold_reason(given: Value) -> HoldReason:
    return HoldReason(given.word(*(one.value for one in HoldReason)))


def _one_or_all(given: Value, known: Known) -> str:
    return ALL if given.plain() == ALL else known.vm(given)
