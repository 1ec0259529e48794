"""How long Proxmox takes to answer, by kind of question and outcome. Notes only."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from defib_core.tracing import spans
from defib_operator.proxmox.wire import WireError, WireFailure, WireRefusal

Note = Callable[[str, str, float], None]
"""Takes the kind of a call, its outcome, and the seconds it took."""

KINDS = (
    ("cluster/resources", "inventory"),
    ("cluster/status", "cluster_status"),
    ("/status/current", "vm_status"),
    ("/config", "vm_config"),
    ("/agent/ping", "agent_ping"),
    ("/tasks", "find_task"),
    ("access/permissions", "token_rights"),
    ("version", "version"),
    ("nodes", "nodes"),
)
"""Ends of paths, and what they ask. Paths themselves name VMs, and have no end."""
POWER = ("reset", "stop", "start", "resume")


def no_note(kind: str, outcome: str, seconds: float) -> None:
    """Note nothing."""


@contextmanager
def timed(note: Note, path: str) -> Iterator[None]:
    """Note what becomes of one call to one endpoint."""
    began, outcome, kind = time.perf_counter(), "answered", kind_of(path)
    with spans.inner(f"proxmox {kind}", call=kind):
        try:
            yield
        except WireError as error:
            outcome = _outcome_of(error)
            raise
        except BaseException:
            outcome = "given_up"
            raise
        finally:
            note(kind, outcome, time.perf_counter() - began)


def kind_of(path: str) -> str:
    """Say what a path asks, in one of a few words."""
    last = path.rsplit("/", 1)[-1]
    if last in POWER:
        return last
    if "/tasks/" in path:
        return f"task_{last}" if last in {"status", "log"} else "other"
    return next((kind for end, kind in KINDS if path.endswith(end)), "other")


def _outcome_of(error: WireError) -> str:
    match error:
        case WireRefusal():
            return "refused"
        case WireFailure():
            return "no_answer"
        case _:
            return "garbage"
