"""Why a VM is, or is not, being reset."""

from typing import Any

from pydantic import Field

from defib_api.schemas.base import ApiModel, Moment
from defib_api.schemas.identifiers import vm_id_text
from defib_core.domain import explanation as domain
from defib_core.domain.explain_text import text_of
from defib_core.domain.explanation import CheckResult, Explanation, VerdictKind
from defib_core.domain.reasons import HoldReason
from defib_core.domain.states import State


class Verdict(ApiModel):
    """What is the case now, in one sentence."""

    kind: VerdictKind
    reason: HoldReason | None = Field(description="The hold's code, where kind is held.")
    message: str
    since: Moment | None


class Floor(ApiModel):
    """A moment before which silence does not count, and why."""

    at: Moment
    why: str


class Clocks(ApiModel):
    """Its clocks, measured with the database's."""

    last_heartbeat: Moment | None
    counts_from: Moment = Field(description="The latest of its last heartbeat and every floor.")
    counts_from_why: str
    silence_seconds: float = Field(description="Since countsFrom.")
    stale_timeout_seconds: float
    runs_out_at: Moment = Field(description="Silent past this moment it is down, and judged.")
    floors: list[Floor] = Field(description="Those later than its last heartbeat, latest first.")


class ExplainedCheck(ApiModel):
    """One check of the rules, in their order."""

    group: int = Field(
        description="1 a person's will and history, 2 is Defib the sick one, 3 is it bigger than"
        " this VM, 4 what Proxmox says, 5 is it alive after all."
    )
    reason: HoldReason
    status: CheckResult
    message: str


class Attempts(ApiModel):
    """What is left of its attempts, and when the next may be."""

    used: int
    allowed: int
    left: int
    last_at: Moment | None
    next_not_before: Moment | None
    pending: bool = Field(description="A reset was sent, and no heartbeat has come since.")


class InForce(ApiModel):
    """A stop, pause, window or brake that concerns it now, or is to come."""

    reason: str
    message: str
    since: Moment | None
    until: Moment | None


class Decision(ApiModel):
    """One thing that was decided or happened."""

    at: Moment
    kind: str = Field(description="transition, hold or reset.")
    message: str
    until: Moment | None
    detail: dict[str, Any] = Field(description="Of a reset: its id, and what it rested on.")


class VmExplanation(ApiModel):
    """Everything that is known of why."""

    id: str
    hostname: str
    timestamp: Moment
    state: State
    state_since: Moment
    warnings: list[str] = Field(description="What keeps the rest from being judged at all.")
    verdict: Verdict
    clocks: Clocks
    needed: list[str] = Field(description="What would have to happen for a reset, in order.")
    checks: list[ExplainedCheck]
    attempts: Attempts
    in_force: list[InForce]
    decisions: list[Decision] = Field(description="The newest 20, newest first.")
    text: str = Field(description="All of it in plain words, for a terminal.")

    @classmethod
    def from_told(cls, vm_id: int, told: Explanation) -> "VmExplanation":
        """Show an explanation."""
        return cls(
            id=vm_id_text(vm_id),
            hostname=told.name,
            timestamp=told.now,
            state=told.state,
            state_since=told.state_since,
            warnings=list(told.warnings),
            verdict=Verdict(
                kind=told.verdict.kind,
                reason=told.verdict.reason,
                message=told.verdict.message,
                since=told.verdict.since,
            ),
            clocks=_clocks(told.clocks),
            needed=list(told.needed),
            checks=[
                ExplainedCheck(
                    group=one.group, reason=one.reason, status=one.status, message=one.message
                )
                for one in told.checks
            ],
            attempts=_attempts(told.attempts),
            in_force=[
                InForce(reason=one.reason, message=one.message, since=one.since, until=one.until)
                for one in told.in_force
            ],
            decisions=[
                Decision(
                    at=one.at,
                    kind=one.kind,
                    message=one.message,
                    until=one.until,
                    detail=dict(one.detail),
                )
                for one in told.decisions
            ],
            text=text_of(told),
        )


def _clocks(clocks: domain.Clocks) -> Clocks:
    return Clocks(
        last_heartbeat=clocks.last_heartbeat,
        counts_from=clocks.counts_from,
        counts_from_why=clocks.counts_from_why,
        silence_seconds=round(clocks.floored_silence.total_seconds(), 1),
        stale_timeout_seconds=clocks.stale_timeout.total_seconds(),
        runs_out_at=clocks.runs_out_at,
        floors=[Floor(at=one.at, why=one.why) for one in clocks.floors],
    )


def _attempts(attempts: domain.Attempts) -> Attempts:
    return Attempts(
        used=attempts.used,
        allowed=attempts.allowed,
        left=attempts.left,
        last_at=attempts.last_at,
        next_not_before=attempts.next_not_before,
        pending=attempts.pending,
    )
