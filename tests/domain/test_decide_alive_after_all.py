"""The fifth group of reasons: a second sign of life. A person who asks is not held by it."""

import pytest

from defib_core.domain.decide import Case
from defib_core.domain.observation import AgentAnswer, IoAnswer
from defib_core.domain.policy import LifeSignal
from defib_core.domain.reasons import HoldReason
from support.cases import guest, manual, reason_of, safety

ONLY_AGENT = safety(second_life_signals=frozenset({LifeSignal.GUEST_AGENT}))
ONLY_IO = safety(second_life_signals=frozenset({LifeSignal.IO}))
NEITHER = safety(second_life_signals=frozenset())

ROWS: list[tuple[str, Case, HoldReason | None]] = [
    (
        "the guest agent answers",
        guest(agent=AgentAnswer.ANSWERED),
        HoldReason.GUEST_AGENT_ALIVE,
    ),
    ("the guest agent is silent", guest(agent=AgentAnswer.SILENT), None),
    ("there is no guest agent", guest(agent=AgentAnswer.NO_EVIDENCE), None),
    ("its disks are busy", guest(io=IoAnswer.ACTIVE), HoldReason.IO_ACTIVE),
    ("its traffic is being watched", guest(io=IoAnswer.STILL_LOOKING), HoldReason.LOOKING),
    ("no counters are shown", guest(io=IoAnswer.NO_EVIDENCE), None),
    (
        "its disks are busy, its run state not shown",
        guest(io=IoAnswer.ACTIVE, qmpstatus=None),
        HoldReason.IO_ACTIVE,
    ),
    (
        "both: the agent is the reason",
        guest(agent=AgentAnswer.ANSWERED, io=IoAnswer.ACTIVE),
        HoldReason.GUEST_AGENT_ALIVE,
    ),
    ("the agent is not asked for", guest(ONLY_IO, agent=AgentAnswer.ANSWERED), None),
    ("traffic is not asked for", guest(ONLY_AGENT, io=IoAnswer.ACTIVE), None),
    (
        "neither is asked for",
        guest(NEITHER, agent=AgentAnswer.ANSWERED, io=IoAnswer.STILL_LOOKING),
        None,
    ),
    (
        "QEMU halted it, so that old traffic is no sign",
        guest(qmpstatus="internal-error", io=IoAnswer.STILL_LOOKING),
        None,
    ),
    ("a person asks, the agent answers", manual(guest(agent=AgentAnswer.ANSWERED)), None),
    ("a person asks, its disks are busy", manual(guest(io=IoAnswer.ACTIVE)), None),
    ("a person asks, nobody has watched", manual(guest(io=IoAnswer.STILL_LOOKING)), None),
]


@pytest.mark.parametrize(
    ("case", "reason"), [pytest.param(case, reason, id=name) for name, case, reason in ROWS]
)
def test_a_sign_of_life_holds(case: Case, reason: HoldReason | None) -> None:
    assert reason_of(case) is reason
