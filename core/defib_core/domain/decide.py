"""The decision: may this VM be reset now, and how. One pure function over facts.

The checks come in the order of docs/safety.md, and the first that applies is the reason. In doubt
the answer is a hold. Limits on how many may be in flight are not decided here but in brakes.py,
among those VMs that may be reset.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from defib_core.domain.actions import Action
from defib_core.domain.observation import (
    AgentAnswer,
    GuestFacts,
    History,
    Identity,
    IoAnswer,
    LookFailure,
    Observation,
    Surroundings,
    Treatment,
)
from defib_core.domain.policy import LifeSignal, action_for_attempt
from defib_core.domain.reasons import HoldReason
from defib_core.domain.states import State

HA_SETTLED = frozenset({"started", "ignored"})
"""In every other of its states HA is about to move, stop or start the VM itself."""
NEEDS_RESET = frozenset({"internal-error", "guest-panicked", "watchdog", "shutdown"})
"""QEMU run states that only a reset followed by a resume leaves."""
MAY_BE_RESET = frozenset({None, "running", "io-error"}) | NEEDS_RESET
"""Everything else is a pause: by a person, for a migration, for a snapshot, or before the start."""


@dataclass(frozen=True, slots=True)
class Case:
    """All that is known of one VM at the moment it is judged."""

    observation: Observation
    treatment: Treatment
    history: History
    around: Surroundings
    manual: bool = False
    """A person asked for this reset."""
    forced: bool = False

    @property
    def wait(self) -> timedelta:
        """How long after the last POST, or what came to none, the next attempt may be."""
        return self.treatment.policy.back_off(max(1, self.history.attempts))


@dataclass(frozen=True, slots=True)
class Hold:
    """Not now, and why; `message` is for the person on call."""

    reason: HoldReason
    message: str


@dataclass(frozen=True, slots=True)
class Look:
    """Nothing speaks against it so far: ask Proxmox, then judge again."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do: it is not down, its clock has not run out, or an intent or dry run exists."""


@dataclass(frozen=True, slots=True)
class Act:
    """It may be reset, by this action."""

    action: Action


Verdict = Hold | Look | Wait | Act
Check = Callable[[Case, datetime], Hold | None]


def decide(case: Case, now: datetime) -> Verdict:
    """Judge one VM. Returns Look where every check that needs no Proxmox has passed."""
    if not case.manual and not _is_candidate(case, now):
        return Wait()
    for check in _MANUAL_BEFORE_LOOK if case.manual else BEFORE_LOOK:
        held = check(case, now)
        if held is not None:
            return held
    return _with_proxmox(case, now)


def _at(moment: datetime) -> str:
    """Write a moment (UTC) for a message. Messages hold no ages, as those change all the time."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _is_candidate(case: Case, now: datetime) -> bool:
    seen = case.observation
    if seen.state not in (State.DOWN, State.RESET_FAILED) or case.history.unfinished:
        return False
    return seen.floored_silence(now) > seen.stale_timeout


# 1. a person's will, and history


def _global_stop(case: Case, _: datetime) -> Hold | None:
    why = case.around.global_stop
    return None if why is None else Hold(HoldReason.GLOBAL_STOP, f"everything is stopped: {why}")


def _auto_reset(case: Case, _: datetime) -> Hold | None:
    if case.treatment.policy.auto_reset_enabled:
        return None
    return Hold(HoldReason.AUTO_RESET_DISABLED, "autoResetEnabled is false in its SystemConfig")


def _remediation(case: Case, _: datetime) -> Hold | None:
    if case.treatment.enabled:
        return None
    return Hold(HoldReason.REMEDIATION_DISABLED, "spec.remediation.enabled is false for this VM")


def _paused(case: Case, now: datetime) -> Hold | None:
    if not case.treatment.is_paused(now):
        return None
    until = case.treatment.paused_until
    end = "until it is ended by hand" if until is None else f"until {_at(until)}"
    return Hold(HoldReason.PAUSED, f"paused {end}: {case.treatment.paused_reason}")


def _maintenance(case: Case, _: datetime) -> Hold | None:
    why = case.around.maintenance
    return None if why is None else Hold(HoldReason.MAINTENANCE, f"in maintenance: {why}")


def _observing(case: Case, _: datetime) -> Hold | None:
    wanted = case.treatment.policy.safety.arm_after_reports
    reports = case.observation.reports
    if reports >= wanted and case.observation.state is not State.UNKNOWN:
        return None
    return Hold(HoldReason.OBSERVING, f"it has sent {reports} of the {wanted} reports that arm it")


def _attempts(case: Case, _: datetime) -> Hold | None:
    # What we switched off ourselves is owed its start, whatever the attempts.
    return None if case.history.owes_start and not case.manual else _spent(case)


def _spent(case: Case) -> Hold | None:
    done, allowed = case.history.attempts, case.treatment.max_attempts
    given_up = case.observation.state is State.RESET_FAILED and not case.manual
    if case.forced or (done < allowed and not given_up):
        return None
    if allowed == 0:
        return Hold(HoldReason.ATTEMPTS_EXHAUSTED, "maxResetAttempts is 0: it is never reset")
    return Hold(
        HoldReason.ATTEMPTS_EXHAUSTED,
        f"{done} of {allowed} attempts are used; find the cause, then clear it by hand",
    )


# 2. are we the sick one


def _ingest_blind(case: Case, _: datetime) -> Hold | None:
    since = case.around.ingest_blind_since
    if since is None:
        return None
    return Hold(HoldReason.INGEST_BLIND, f"no API replica has stored anything since {_at(since)}")


def _relay_blind(case: Case, _: datetime) -> Hold | None:
    why = case.around.relay_blind
    return None if why is None else Hold(HoldReason.RELAY_BLIND, why)


def _control_plane(case: Case, now: datetime) -> Hold | None:
    heard = case.around.control_plane_heard_at
    if heard is not None and now - heard <= case.treatment.policy.safety.control_plane_stale:
        return None
    since = "yet" if heard is None else f"since {_at(heard)}"
    return Hold(
        HoldReason.CONTROL_PLANE_STALE,
        f"the Kubernetes API was not heard {since}: nobody could pause this VM",
    )


def _rejected(case: Case, _: datetime) -> Hold | None:
    why = case.around.reports_rejected
    if why is None:
        return None
    return Hold(HoldReason.REPORTS_REJECTED, f"it is alive, but its reports are refused: {why}")


# 3. is it bigger than this VM


def _brakes(case: Case, _: datetime) -> Hold | None:
    brake = next(iter(case.around.brakes), None)
    return None if brake is None else Hold(brake.reason, brake.message)


def _back_off(case: Case, now: datetime) -> Hold | None:
    policy = case.treatment.policy
    wait = policy.boot_grace if case.history.owes_start else case.wait
    return _too_soon(case, wait, now)


def _too_soon(case: Case, wait: timedelta, now: datetime) -> Hold | None:
    last = case.history.last_attempt_at
    if last is None:
        return None
    again = last + wait
    if now >= again:
        return None
    return Hold(
        HoldReason.BACK_OFF,
        f"{_last(case)}; the next is not before {_at(again)}",
    )


def _last(case: Case) -> str:
    done = case.history.attempts
    return f"attempt {done} was made" if done else "no connection came about for the last attempt"


BEFORE_LOOK: tuple[Check, ...] = (
    _global_stop,
    _auto_reset,
    _remediation,
    _paused,
    _maintenance,
    _observing,
    _attempts,
    _ingest_blind,
    _relay_blind,
    _control_plane,
    _rejected,
    _brakes,
    _back_off,
)
"""Every check that needs no Proxmox, in order; explain.py asks each of them."""
_MANUAL_BEFORE_LOOK: tuple[Check, ...] = (_global_stop, _attempts)


# 4. what does Proxmox say; 5. is it alive after all


PASSING = frozenset(
    {
        HoldReason.NODE_OFFLINE,
        HoldReason.VM_STOPPED,
        HoldReason.VM_PAUSED,
        HoldReason.VM_LOCKED,
        HoldReason.HA_IN_TRANSITION,
    }
)
"""Holds during which a guest cannot report. When one is over, its clock starts again."""


def can_report(guest: GuestFacts) -> bool:
    """Say whether a guest that lives could be heard: it runs, is not halted, and nothing has it."""
    return (
        guest.node_online is True
        and guest.running
        and guest.qmpstatus in (None, "running")
        and not guest.lock
        and (guest.ha_state is None or guest.ha_state in HA_SETTLED)
    )


def clock_restarts(held: HoldReason | None, verdict: Verdict) -> bool:
    """Say whether a hold that kept the guest from reporting is over."""
    if held not in PASSING or isinstance(verdict, Wait | Look):
        return False
    return not (isinstance(verdict, Hold) and verdict.reason in PASSING)


def _with_proxmox(case: Case, now: datetime) -> Verdict:
    guest = case.observation.guest
    if guest is None:
        return Look()
    if isinstance(guest, LookFailure):
        return Hold(guest.reason, guest.message)
    if not case.manual and _just_started(case, guest, now):
        return Wait()
    for check in (_place, _person_in_proxmox, _busy):
        held = check(case, guest)
        if held is not None:
            return held
    action = _action(case, guest)
    if isinstance(action, Hold) or case.manual:
        return action if isinstance(action, Hold) else Act(action)
    return _signs_of_life(case, guest) or _not_yet(case, guest, now) or Act(action)


def _not_yet(case: Case, guest: GuestFacts, now: datetime) -> Hold | Wait | None:
    """What is left to wait for where nothing speaks against the reset itself."""
    if guest.running and case.history.owes_start:
        # It was started after all, so that no start is owed.
        return _spent(case) or _too_soon(case, case.wait, now)
    if case.treatment.policy.dry_run and case.history.dry_run_done:
        return Wait()
    return None


def _just_started(case: Case, guest: GuestFacts, now: datetime) -> bool:
    """True while a guest that was switched on has not had a full timeout to report."""
    if guest.started_at is None or not guest.running:
        return False
    return now - guest.started_at <= case.observation.stale_timeout


def _place(case: Case, guest: GuestFacts) -> Hold | None:
    if guest.node_online is not True:
        word = "offline" if guest.node_online is False else "in an unknown state"
        return Hold(HoldReason.NODE_OFFLINE, f"its Proxmox node {guest.node} is {word}")
    if not guest.is_qemu:
        return Hold(HoldReason.NOT_QEMU, "it is a container (LXC); Proxmox cannot reset those")
    if guest.template:
        return Hold(HoldReason.TEMPLATE, "it is a template")
    return _identity(case, guest)


def _identity(case: Case, guest: GuestFacts) -> Hold | None:
    """Say whether it is another VM; what was only seen in the list cannot tell."""
    if not case.treatment.policy.safety.identity_check or not guest.asked:
        return None
    known = case.observation.identity
    if known.pinned_uuid is not None:
        return _same_machine(known, known.pinned_uuid, guest)
    wanted = known.proxmox_name or known.hostname
    if guest.name is None or is_same_name(guest.name, wanted):
        return None
    return Hold(
        HoldReason.IDENTITY_MISMATCH,
        f"VMID {known.vmid} is called {guest.name} in Proxmox, not {_short(wanted)}; "
        "if that is right, set spec.proxmoxName",
    )


def other_vm(case: Case, guest: GuestFacts) -> Hold | None:
    """Say whether Proxmox has another VM by now: then it belongs to no group that is counted."""
    if not guest.is_qemu or guest.template or guest.node_online is not True:
        return None
    return _identity(case, guest)


def _same_machine(known: Identity, pinned: str, guest: GuestFacts) -> Hold | None:
    """Compare with the UUID of the first sight: Proxmox's now, and that of whoever reports."""
    if guest.smbios_uuid is None:
        text = f"VMID {known.vmid} has no SMBIOS UUID in Proxmox any more; it had {pinned}"
        return Hold(HoldReason.IDENTITY_MISMATCH, text)
    if not is_same_uuid(pinned, guest.smbios_uuid):
        text = f"VMID {known.vmid} now has SMBIOS UUID {guest.smbios_uuid}, not {pinned}"
        return Hold(HoldReason.IDENTITY_MISMATCH, text)
    if known.reported_uuid is None or is_same_uuid(pinned, known.reported_uuid):
        return None
    return Hold(
        HoldReason.IDENTITY_MISMATCH,
        f"who reports as VMID {known.vmid} has SMBIOS UUID {known.reported_uuid}, and the VM has"
        f" {pinned}; mend the vmid in that agent's configuration, or its token",
    )


def is_same_uuid(one: str, other: str) -> bool:
    """Compare; old firmware tables are read with the first three parts' bytes turned around."""
    if one.lower() == other.lower():
        return True
    try:
        return UUID(one).bytes == UUID(other).bytes_le
    except ValueError:
        return False


def is_same_name(one: str, other: str) -> bool:
    """Compare the short forms, whatever their case."""
    return _short(one) == _short(other)


def _short(name: str) -> str:
    return name.split(".", 1)[0].lower()


def _person_in_proxmox(case: Case, guest: GuestFacts) -> Hold | None:
    if not guest.running and not case.history.owes_start:
        return Hold(HoldReason.VM_STOPPED, "it is switched off in Proxmox; Defib never starts it")
    if not guest.running and _is_ha_managed(guest):
        return Hold(HoldReason.VM_STOPPED, "it is switched off, and HA's to start by now")
    if guest.running and guest.qmpstatus not in MAY_BE_RESET:
        return Hold(HoldReason.VM_PAUSED, f"its run state in Proxmox is {guest.qmpstatus}")
    return None


def _busy(_: Case, guest: GuestFacts) -> Hold | None:
    if guest.lock:
        return Hold(HoldReason.VM_LOCKED, f"it is locked in Proxmox ({guest.lock})")
    if guest.ha_state is not None and guest.ha_state not in HA_SETTLED:
        return Hold(HoldReason.HA_IN_TRANSITION, f"its HA state is {guest.ha_state}")
    return None


def _is_ha_managed(guest: GuestFacts) -> bool:
    return guest.ha_state is not None and guest.ha_state != "ignored"


def _action(case: Case, guest: GuestFacts) -> Action | Hold:
    if guest.qmpstatus == "io-error":
        return _after_io_error(case)
    if guest.qmpstatus in NEEDS_RESET:
        return Action.RESET_RESUME
    wanted = action_for_attempt(case.history.attempts + 1, case.treatment.steps)
    if guest.reset_switches_off or not guest.running:
        wanted = Action.STOP_START
    if wanted is Action.STOP_START:
        return _stop_start(guest)
    return Action.RESET


def _after_io_error(case: Case) -> Action | Hold:
    if case.history.resumed_io_error:
        return Hold(
            HoldReason.STORAGE_ERROR,
            "its storage failed again after it was resumed; free or repair the storage",
        )
    return Action.RESUME


def _stop_start(guest: GuestFacts) -> Action | Hold:
    if _is_ha_managed(guest):
        return Action.RESET
    if guest.quorate is not True:
        return Hold(
            HoldReason.NO_QUORUM, "it would have to be started, and the cluster has no quorum"
        )
    return Action.STOP_START


def _signs_of_life(case: Case, guest: GuestFacts) -> Hold | None:
    wanted = case.treatment.policy.safety.second_life_signals
    if LifeSignal.GUEST_AGENT in wanted and guest.agent is AgentAnswer.ANSWERED:
        return Hold(
            HoldReason.GUEST_AGENT_ALIVE,
            "the QEMU guest agent answers: the guest lives, its reporting agent is the suspect",
        )
    if LifeSignal.IO not in wanted or guest.qmpstatus not in (None, "running"):
        return None
    if guest.io is IoAnswer.ACTIVE:
        return Hold(
            HoldReason.IO_ACTIVE,
            "its disks or network are busy: the guest lives, its reporting agent is the suspect",
        )
    if guest.io is IoAnswer.STILL_LOOKING:
        return Hold(HoldReason.LOOKING, "its disk and network traffic is being watched")
    return None
