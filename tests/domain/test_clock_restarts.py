"""When a hold ends that kept the guest from reporting, the guest gets a full timeout first."""

import pytest

from defib_core.domain.actions import Action
from defib_core.domain.decide import Act, Hold, Look, Verdict, Wait, clock_restarts
from defib_core.domain.reasons import HoldReason

KEPT_SILENT = {
    HoldReason.NODE_OFFLINE,
    HoldReason.VM_STOPPED,
    HoldReason.VM_PAUSED,
    HoldReason.VM_LOCKED,
    HoldReason.HA_IN_TRANSITION,
}
FREE: list[Verdict] = [Act(Action.RESET), Hold(HoldReason.LOOKING, "x")]
STILL: list[Verdict] = [Wait(), Look(), *(Hold(reason, "x") for reason in KEPT_SILENT)]


@pytest.mark.parametrize("held", KEPT_SILENT, ids=str)
@pytest.mark.parametrize("verdict", FREE, ids=repr)
def test_it_restarts_when_the_guest_can_report_again(held: HoldReason, verdict: Verdict) -> None:
    assert clock_restarts(held, verdict)


@pytest.mark.parametrize("held", KEPT_SILENT, ids=str)
@pytest.mark.parametrize("verdict", STILL, ids=repr)
def test_it_does_not_restart_while_the_guest_cannot_or_nobody_looked(
    held: HoldReason, verdict: Verdict
) -> None:
    assert not clock_restarts(held, verdict)


@pytest.mark.parametrize("held", [None, *(set(HoldReason) - KEPT_SILENT)], ids=str)
@pytest.mark.parametrize("verdict", [*FREE, *STILL], ids=repr)
def test_other_holds_restart_nothing(held: HoldReason | None, verdict: Verdict) -> None:
    assert not clock_restarts(held, verdict)
