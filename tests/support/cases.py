"""One VM as the decision sees it: dead, armed and free to be reset, until a test changes a fact."""
# ruff: noqa: ANN401 - each helper takes the fields of another value

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from defib_core.domain.decide import Case, Hold, Verdict, decide
from defib_core.domain.observation import (
    AgentAnswer,
    GuestFacts,
    History,
    Identity,
    IoAnswer,
    Observation,
    Surroundings,
    Treatment,
)
from defib_core.domain.policy import Policy, SafetyPolicy
from defib_core.domain.reasons import HoldReason
from defib_core.domain.states import State

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STALE_TIMEOUT = timedelta(minutes=5)
SECOND = timedelta(seconds=1)
UUID = "4c4c4544-0042-3510-8052-b4c04f4e4d32"

DEAD_GUEST = GuestFacts(
    node="pve1",
    name="web-01",
    smbios_uuid=UUID,
    started_at=NOW - timedelta(days=30),
    agent=AgentAnswer.SILENT,
    io=IoAnswer.QUIET,
)
DEAD_VM = Observation(
    vm_id=1,
    identity=Identity(vmid=100, hostname="web-01.example.com", pinned_uuid=UUID),
    state=State.DOWN,
    last_heartbeat=NOW - timedelta(minutes=10),
    clock_floor=NOW - timedelta(days=2),
    stale_timeout=STALE_TIMEOUT,
    reports=1000,
    guest=DEAD_GUEST,
)
CALM = Surroundings(control_plane_heard_at=NOW - SECOND)
RESETTABLE = Case(
    observation=DEAD_VM,
    treatment=Treatment(policy=Policy(), max_attempts=3),
    history=History(),
    around=CALM,
)


def seen(case: Case = RESETTABLE, **changes: Any) -> Case:
    """The case with a changed observation."""
    return replace(case, observation=replace(case.observation, **changes))


def guest(case: Case = RESETTABLE, **changes: Any) -> Case:
    """The case with changed facts from Proxmox."""
    facts = case.observation.guest
    assert isinstance(facts, GuestFacts)
    return seen(case, guest=replace(facts, **changes))


def identity(case: Case = RESETTABLE, **changes: Any) -> Case:
    """The case with another idea of who the VM is."""
    return seen(case, identity=replace(case.observation.identity, **changes))


def treated(case: Case = RESETTABLE, **changes: Any) -> Case:
    """The case with a changed spec of its own."""
    return replace(case, treatment=replace(case.treatment, **changes))


def policy(case: Case = RESETTABLE, **changes: Any) -> Case:
    """The case under a changed SystemConfig."""
    return treated(case, policy=replace(case.treatment.policy, **changes))


def safety(case: Case = RESETTABLE, **changes: Any) -> Case:
    """The case under a SystemConfig with changed safety rules."""
    found: SafetyPolicy = replace(case.treatment.policy.safety, **changes)
    return policy(case, safety=found)


def after(case: Case = RESETTABLE, **changes: Any) -> Case:
    """The case with another history."""
    return replace(case, history=replace(case.history, **changes))


def around(case: Case = RESETTABLE, **changes: Any) -> Case:
    """The case in other surroundings."""
    return replace(case, around=replace(case.around, **changes))


def manual(case: Case = RESETTABLE, *, forced: bool = False) -> Case:
    """The same, asked for by a person."""
    return replace(case, manual=True, forced=forced)


def reason_of(case: Case, now: datetime = NOW) -> HoldReason | None:
    """The reason it is held for; None where it is not held."""
    verdict: Verdict = decide(case, now)
    return verdict.reason if isinstance(verdict, Hold) else None
