"""What Defib may do to a VM, and what became of it."""

from enum import StrEnum


class Action(StrEnum):
    """A remediation. Each is one or two POSTs to Proxmox, see `steps_of`."""

    RESET = "Reset"
    STOP_START = "StopStart"
    RESET_RESUME = "ResetResume"
    RESUME = "Resume"


class PowerStep(StrEnum):
    """One POST to Proxmox; the words of its API path `.../status/{step}`."""

    RESET = "reset"
    STOP = "stop"
    START = "start"
    RESUME = "resume"


STEPS: dict[Action, tuple[PowerStep, ...]] = {
    Action.RESET: (PowerStep.RESET,),
    Action.STOP_START: (PowerStep.STOP, PowerStep.START),
    Action.RESET_RESUME: (PowerStep.RESET, PowerStep.RESUME),
    Action.RESUME: (PowerStep.RESUME,),
}


def steps_of(action: Action) -> tuple[PowerStep, ...]:
    """Say which POSTs an action takes, in order."""
    return STEPS[action]


class Phase(StrEnum):
    """The life of a reset intent, and of each of its POSTs."""

    REQUESTED = "requested"
    SENDING = "sending"
    """Compare-and-set under the epoch, just before the POST: who finds it and did not set it
    treats the outcome as unknown."""
    SENT = "sent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DRY_RUN = "dry_run"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        """True where nothing more will happen to the intent itself."""
        return self not in UNFINISHED


UNFINISHED = frozenset({Phase.REQUESTED, Phase.SENDING, Phase.SENT})


class Source(StrEnum):
    """By which way somebody asked for something."""

    AUTO = "auto"
    DASHBOARD = "dashboard"
    API = "api"
    ANNOTATION = "annotation"
    CLI = "cli"
    MANIFEST = "manifest"
    """The spec of a custom resource, applied with kubectl or by a GitOps tool."""

    @property
    def is_manual(self) -> bool:
        """True where a person asked."""
        return self is not Source.AUTO
