"""Of all reasons that apply, the first in the published order is the one that is named."""

from collections.abc import Callable
from itertools import combinations

import pytest

from defib_core.domain.decide import Case
from defib_core.domain.observation import AgentAnswer, Brake, IoAnswer, LookFailure
from defib_core.domain.reasons import HoldReason
from support.cases import (
    NOW,
    RESETTABLE,
    SECOND,
    after,
    around,
    guest,
    policy,
    reason_of,
    seen,
    treated,
)


def braked(reason: HoldReason) -> Callable[[Case], Case]:
    def apply(case: Case) -> Case:
        brakes = (*case.around.brakes, Brake(reason, "x"))
        order = list(HoldReason)
        return around(case, brakes=sorted(brakes, key=lambda one: order.index(one.reason)))

    return apply


def unanswered(reason: HoldReason) -> Callable[[Case], Case]:
    return lambda case: seen(case, guest=LookFailure(reason, "x"))


BEFORE_LOOK: dict[HoldReason, Callable[[Case], Case]] = {
    HoldReason.GLOBAL_STOP: lambda case: around(case, global_stop="x"),
    HoldReason.AUTO_RESET_DISABLED: lambda case: policy(case, auto_reset_enabled=False),
    HoldReason.REMEDIATION_DISABLED: lambda case: treated(case, enabled=False),
    HoldReason.PAUSED: lambda case: treated(case, paused_reason="x"),
    HoldReason.MAINTENANCE: lambda case: around(case, maintenance="x"),
    HoldReason.OBSERVING: lambda case: seen(case, reports=0),
    HoldReason.ATTEMPTS_EXHAUSTED: lambda case: treated(after(case, attempts=1), max_attempts=1),
    HoldReason.INGEST_BLIND: lambda case: around(case, ingest_blind_since=NOW),
    HoldReason.RELAY_BLIND: lambda case: around(case, relay_blind="x"),
    HoldReason.CONTROL_PLANE_STALE: lambda case: around(case, control_plane_heard_at=None),
    HoldReason.REPORTS_REJECTED: lambda case: around(case, reports_rejected="x"),
    HoldReason.PATH_FAILURE: braked(HoldReason.PATH_FAILURE),
    HoldReason.FLEET_BRAKE: braked(HoldReason.FLEET_BRAKE),
    HoldReason.NODE_BRAKE: braked(HoldReason.NODE_BRAKE),
    HoldReason.STORM_COOLDOWN: braked(HoldReason.STORM_COOLDOWN),
    HoldReason.BACK_OFF: lambda case: after(
        case, attempts=max(1, case.history.attempts), last_attempt_at=NOW - SECOND
    ),
}
IN_PROXMOX: dict[HoldReason, Callable[[Case], Case]] = {
    HoldReason.NODE_OFFLINE: lambda case: guest(case, node_online=False),
    HoldReason.NOT_QEMU: lambda case: guest(case, is_qemu=False),
    HoldReason.TEMPLATE: lambda case: guest(case, template=True),
    HoldReason.IDENTITY_MISMATCH: lambda case: guest(case, smbios_uuid="another"),
    HoldReason.VM_STOPPED: lambda case: guest(case, running=False),
    HoldReason.VM_PAUSED: lambda case: guest(case, qmpstatus="paused"),
    HoldReason.VM_LOCKED: lambda case: guest(case, lock="backup"),
    HoldReason.HA_IN_TRANSITION: lambda case: guest(case, ha_state="migrate"),
    HoldReason.NO_QUORUM: lambda case: guest(case, quorate=False, reset_switches_off=True),
    HoldReason.GUEST_AGENT_ALIVE: lambda case: guest(case, agent=AgentAnswer.ANSWERED),
    HoldReason.IO_ACTIVE: lambda case: guest(case, io=IoAnswer.ACTIVE),
}
ASKED_IN_VAIN: dict[HoldReason, Callable[[Case], Case]] = {
    reason: unanswered(reason)
    for reason in (
        HoldReason.PROXMOX_UNREACHABLE,
        HoldReason.PROXMOX_FORBIDDEN,
        HoldReason.VM_NOT_FOUND,
    )
}
OTHERWISE_REACHED = {
    # In place of an action, where QEMU says io-error; see test_decide_proxmox.py.
    HoldReason.STORAGE_ERROR,
    # In place of IOActive, until the window has passed; see test_decide_alive_after_all.py.
    HoldReason.LOOKING,
    # Given by limits.allot, to those that may be reset.
    HoldReason.HOURLY_LIMIT,
    HoldReason.IN_FLIGHT_LIMIT,
}


def test_every_reason_of_a_hold_is_in_one_of_these_tables() -> None:
    tables = BEFORE_LOOK.keys() | IN_PROXMOX.keys() | ASKED_IN_VAIN.keys()
    assert tables | OTHERWISE_REACHED == set(HoldReason)
    assert not tables & OTHERWISE_REACHED


@pytest.mark.parametrize("reason", [*BEFORE_LOOK, *IN_PROXMOX, *ASKED_IN_VAIN])
def test_each_reason_alone_is_the_reason(reason: HoldReason) -> None:
    apply = (BEFORE_LOOK | IN_PROXMOX | ASKED_IN_VAIN)[reason]
    assert reason_of(apply(RESETTABLE)) is reason


def in_order(reasons: dict[HoldReason, Callable[[Case], Case]]) -> list[HoldReason]:
    return [reason for reason in HoldReason if reason in reasons]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *combinations(in_order(BEFORE_LOOK | IN_PROXMOX), 2),
        *((before, vain) for before in BEFORE_LOOK for vain in ASKED_IN_VAIN),
    ],
    ids=str,
)
def test_of_two_reasons_the_earlier_is_named(first: HoldReason, second: HoldReason) -> None:
    both = BEFORE_LOOK | IN_PROXMOX | ASKED_IN_VAIN
    if second not in ASKED_IN_VAIN:
        assert reason_of(both[first](both[second](RESETTABLE))) is first
    assert reason_of(both[second](both[first](RESETTABLE))) is first


def test_the_first_three_groups_hold_before_proxmox_is_asked() -> None:
    for reason, apply in BEFORE_LOOK.items():
        assert reason_of(seen(apply(RESETTABLE), guest=None)) is reason


def test_all_reasons_at_once_are_named_one_by_one_as_each_ends() -> None:
    named = []
    remaining = in_order(BEFORE_LOOK)
    while remaining:
        case = RESETTABLE
        for reason in remaining:
            case = BEFORE_LOOK[reason](case)
        named.append(reason_of(case))
        remaining = remaining[1:]
    assert named == in_order(BEFORE_LOOK)
