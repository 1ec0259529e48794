"""What became of a POST and of its task. The one place that tells "surely not" from "unknown".

A wrong "surely not executed" could lead to a second reset, so everything that is not proof of it
is `OutcomeUnknown`. Pure: no I/O, no policy.
"""

from dataclasses import dataclass

from defib_core.domain.actions import PowerStep
from defib_operator.proxmox.upid import Upid
from defib_operator.proxmox.wire import WireError, WireFailure, WireRefusal

TASK_TYPES: dict[PowerStep, frozenset[str]] = {
    PowerStep.RESET: frozenset({"qmreset"}),
    PowerStep.STOP: frozenset({"qmstop", "hastop"}),
    PowerStep.START: frozenset({"qmstart", "hastart"}),
    PowerStep.RESUME: frozenset({"qmresume"}),
}
"""What Proxmox calls the task of each POST; with HA it only queues the wish."""

CONNECT_FAILED = 595
"""Proxmox could not reach the node it would have passed the request on to."""
INTERNAL_ERROR = 500
REFUSED_UNREAD = frozenset({400, 401, 403, 404, 405, 501})
"""Whoever answers so has not carried the request out, and has not passed it on."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Proxmox forked a worker. Whether it works is the task's to say."""

    upid: Upid


@dataclass(frozen=True, slots=True)
class Refused:
    """It was not carried out, and that is certain."""

    text: str
    """Proxmox's words, or why no connection came about."""
    status: int | None = None
    """None: no connection."""
    surely_not_executed: bool = True


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """It may have been carried out. Look for the task before anything else."""

    text: str
    status: int | None = None


PostOutcome = Accepted | Refused | OutcomeUnknown


@dataclass(frozen=True, slots=True)
class Running:
    """The task is at work."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The task has ended. `ok` is judged by Proxmox's own rule: `OK` or `WARNINGS: n`."""

    exitstatus: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """Could not be learnt; the text says why."""

    text: str


TaskState = Running | Finished | Unknown


def outcome_of_answer(answer: object, *, vmid: int, step: PowerStep) -> PostOutcome:
    """Judge the data of a 200: only a UPID of this VM and this step proves that it was taken."""
    upid = Upid.parse(answer)
    if upid is None:
        return OutcomeUnknown(f"200 without a task's id: {str(answer)[:200]!r}")
    if upid.task_id != str(vmid) or upid.task_type not in TASK_TYPES[step]:
        return OutcomeUnknown(f"the answer to {step} of VM {vmid} names another task: {upid}")
    return Accepted(upid)


def outcome_of_error(error: WireError) -> PostOutcome:
    """Judge a POST that brought no data."""
    if isinstance(error, WireFailure):
        if error.was_sent:
            return OutcomeUnknown(f"the connection was made, then: {error}")
        return Refused(f"not sent, no connection: {error}")
    if isinstance(error, WireRefusal):
        text = explained(error)
        if _surely_not_executed(error):
            return Refused(text, error.status)
        return OutcomeUnknown(text, error.status)
    return OutcomeUnknown(str(error))


def explained(error: WireRefusal) -> str:
    """Say a refusal in Proxmox's words, with the parameters it complains of."""
    fields = "; ".join(f"{name}: {text}" for name, text in sorted(error.fields.items()))
    return f"{error.status} {error.words}" + (f" ({fields})" if fields else "")


def _surely_not_executed(error: WireRefusal) -> bool:
    """Tell proof from doubt. A 500 counts only from Proxmox itself: it dies before it forks."""
    if error.status == INTERNAL_ERROR:
        return error.is_proxmox
    return error.status == CONNECT_FAILED or error.status in REFUSED_UNREAD
