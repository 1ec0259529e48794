"""What happened in a scenario, read from its database: resets, transitions, holds, attempts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from defib_core.domain.actions import Phase, Source
from defib_dev.simulate.world import Asked, Post, World

Row = Mapping[str, Any]
NOTES = "SELECT elapsed, subject, before, after FROM journal ORDER BY id"


@dataclass(frozen=True, slots=True)
class Note:
    """A row of the journal: what a row was before and after, at a moment of the scenario."""

    at: float
    subject: str
    before: Row | None
    after: Row


@dataclass(frozen=True, slots=True)
class Reset:
    """A reset. `at` is when its first POST was claimed, or a dry run was written down."""

    intent: int
    vm: str
    at: float
    intended_at: float
    action: str
    outcome: str | None
    """None: it was not finished when the scenario ended."""
    recovered: bool
    source: str
    attempt: int
    posted: bool
    """False: a dry run, or the process died between claim and POST."""
    ended_at: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state."""

    vm: str
    at: float
    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a VM was not reset, and for how long; `end` None: until the scenario's end."""

    vm: str
    reason: str
    message: str
    start: float
    end: float | None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """An intent that came to nothing."""

    intent: int
    vm: str
    intended_at: float
    at: float
    reason: str
    is_manual: bool


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that happened."""

    resets: Sequence[Reset]
    cancelled: Sequence[Cancelled]
    transitions: Sequence[Transition]
    holds: Sequence[Hold]
    attempts: Mapping[str, Sequence[tuple[float, int]]]
    """Each change of a VM's counter: when, and to what."""
    heard: Mapping[str, Sequence[float]]
    """When each VM's heartbeats were stored."""
    asked: Sequence[Asked]
    """What people asked for."""
    posts: Sequence[Post]
    """Every POST as it was sent, and how things truly stood then."""


def read_record(world: World) -> Record:
    """Read the journal of a scenario that has ended."""
    with world.sessions.one() as session:
        notes = [Note(*row) for row in session.ask(NOTES)]
    names = {vm_id: name for name, vm_id in world.vm_ids.items()}
    histories = _histories(_of(notes, "reset_history"))
    resets = [_reset(history, names, world) for history in histories]
    return Record(
        resets=[reset for reset in resets if reset is not None],
        cancelled=[one for history in histories for one in _cancelled(history, names)],
        transitions=[
            Transition(
                names[note.after["vm_id"]],
                note.at,
                note.after["from_state"],
                note.after["to_state"],
                note.after["reason"],
            )
            for note in _of(notes, "vm_transition")
        ],
        holds=_holds(_of(notes, "hold"), names),
        attempts=_attempts(_of(notes, "vm_state"), names),
        heard=world.ingest.heard,
        asked=world.asked,
        posts=world.posts,
    )


def _of(notes: Iterable[Note], subject: str) -> Iterator[Note]:
    return (note for note in notes if note.subject == subject)


def _histories(notes: Iterable[Note]) -> list[list[Note]]:
    found: dict[int, list[Note]] = {}
    for note in notes:
        found.setdefault(note.after["id"], []).append(note)
    return list(found.values())


def _reset(history: Sequence[Note], names: Mapping[int, str], world: World) -> Reset | None:
    first, last = history[0], history[-1].after
    is_dry_run = last["phase"] == Phase.DRY_RUN
    sent = next((note for note in history if note.after["sent_at"] is not None), None)
    begun = first if is_dry_run else sent
    if begun is None:
        return None
    vm = names[last["vm_id"]]
    finished = next((note for note in history if note.after["finished_at"] is not None), None)
    return Reset(
        intent=last["id"],
        vm=vm,
        at=begun.at,
        intended_at=first.at,
        action=last["action"],
        outcome=last["phase"] if finished is not None else None,
        recovered=last["recovered_at"] is not None,
        source=last["source"],
        attempt=last["attempt"],
        posted=any(post.at == begun.at and post.vm == vm for post in world.posts),
        ended_at=None if finished is None else finished.at,
        error=last["error"],
    )


def _cancelled(history: Sequence[Note], names: Mapping[int, str]) -> Iterator[Cancelled]:
    first, last = history[0], history[-1]
    if last.after["phase"] == Phase.CANCELLED:
        yield Cancelled(
            intent=last.after["id"],
            vm=names[last.after["vm_id"]],
            intended_at=first.at,
            at=last.at,
            reason=last.after["cancelled_by"],
            is_manual=Source(last.after["source"]).is_manual,
        )


def _holds(notes: Iterable[Note], names: Mapping[int, str]) -> list[Hold]:
    found: dict[int, Hold] = {}
    for note in notes:
        row = note.after
        start = found[row["id"]].start if row["id"] in found else note.at
        end = note.at if row["ended_at"] is not None else None
        found[row["id"]] = Hold(names[row["vm_id"]], row["reason"], row["message"], start, end)
    return list(found.values())


def _attempts(
    notes: Iterable[Note], names: Mapping[int, str]
) -> dict[str, list[tuple[float, int]]]:
    found: dict[str, list[tuple[float, int]]] = {}
    for note in notes:
        found.setdefault(names[note.after["vm_id"]], []).append(
            (note.at, note.after["reset_attempts"])
        )
    return found
