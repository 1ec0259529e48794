"""Kubernetes Events of VirtualMachines: one for each thing that changed, never one for a repeat.

What is new is found by comparing the status with the one written before, so a restart repeats
nothing. Bounded: in a mass outage the statuses come first, and Events beyond the budget are dropped
and counted.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from defib_core.config.resources import API_VERSION, VIRTUAL_MACHINE
from defib_core.domain.states import State
from defib_core.store.projection import VmStatus
from defib_operator.kube import Kubernetes, KubernetesError
from defib_operator.status import AGENT_SUSPECTED

log = structlog.get_logger(__name__)

CONTROLLER = "defib.dev/operator"
BURST = 50
PER_SECOND = 10.0
NOTE_MAX = 1000
BAD_STATES = frozenset({State.WARNING, State.DOWN, State.RESET_FAILED})
BAD_OUTCOMES = frozenset({"failed", "unknown", "cancelled"})
UNTOLD_OUTCOMES = frozenset({"requested", "sending"})
"""Steps of a moment, on the way to one that is told."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing worth telling."""

    warning: bool
    reason: str
    action: str
    note: str


CLONE_SUSPECTED = Event(
    warning=True,
    reason="CloneSuspected",
    action="Observe",
    note="two machines seem to report as this VM: their boot ids alternate; stop the agent in the"
    " copy, and enrol it by itself",
)


def events_of(one: VmStatus, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Event]:
    """Say what is new in a status. Pure."""
    told: list[Event] = []
    if not before:
        # The first status of an object: what happened before it is no news.
        return told
    if before.get("health") != after["health"] and one.last_change is not None:
        note = f"{one.last_change.from_state} -> {after['health']}"
        told.append(Event(one.state in BAD_STATES, one.last_change.reason, "ChangeState", note))
    reset = after.get("lastReset")
    if reset and reset != before.get("lastReset") and reset["outcome"] not in UNTOLD_OUTCOMES:
        told.append(_reset(reset, None if one.last_reset is None else one.last_reset.error))
    if after.get("cloneSuspected") and not before.get("cloneSuspected"):
        told.append(CLONE_SUSPECTED)
    if one.hold_reason is not None and _hold_of(before) != one.hold_reason:
        note = f"not reset: {one.hold_message}"
        told.append(Event(warning=True, reason=one.hold_reason, action="Hold", note=note))
    if one.agent_suspected and AGENT_SUSPECTED not in _remediation_of(before).get("message", ""):
        note = f"{one.hold_message}, {AGENT_SUSPECTED}"
        told.append(Event(warning=True, reason="AgentSuspected", action="Hold", note=note))
    return told


def _reset(reset: Mapping[str, Any], error: str | None) -> Event:
    outcome = reset["outcome"]
    word = "".join(part.capitalize() for part in outcome.split("_"))
    why = f": {error}" if error and outcome in BAD_OUTCOMES else ""
    task = f" ({reset['upid']})" if reset["upid"] else ""
    note = f"{reset['reason']}: {outcome}{why}{task}"
    return Event(outcome in BAD_OUTCOMES, f"Reset{word}", "Reset", note)


def _hold_of(status: Mapping[str, Any]) -> str | None:
    reason: str | None = _remediation_of(status).get("reason")
    return reason


def _remediation_of(status: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = status.get("conditions", [])
    return next((one for one in conditions if one["type"] == "RemediationAllowed"), {})


class Recorder:
    """Posts Events within a budget."""

    def __init__(self, kubernetes: Kubernetes, host: str) -> None:
        self._kubernetes = kubernetes
        self._host = host
        self._tokens = float(BURST)
        self._refilled = asyncio.get_running_loop().time()
        self.dropped = 0

    async def post(self, one: VmStatus, event: Event, now: datetime) -> None:
        """Post one Event. A failure is logged: an Event is never worth failing for."""
        if not self._may():
            self.dropped += 1
            return
        try:
            await self._kubernetes.post_event(one.namespace, self._body(one, event, now))
        except KubernetesError as error:
            log.warning("event_not_posted", vm=one.name, reason=event.reason, error=str(error))

    def _may(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._tokens = min(BURST, self._tokens + (now - self._refilled) * PER_SECOND)
        self._refilled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _body(self, one: VmStatus, event: Event, now: datetime) -> dict[str, Any]:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": f"{one.name[:200]}-", "namespace": one.namespace},
            "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "action": event.action,
            "note": event.note[:NOTE_MAX],
            "reportingController": CONTROLLER,
            "reportingInstance": self._host[:128],
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": VIRTUAL_MACHINE.kind,
                "namespace": one.namespace,
                "name": one.name,
                "uid": one.uid,
            },
        }
