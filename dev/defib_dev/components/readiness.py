"""Wait for a condition, never for a while: poll until ready, dead, or past the deadline."""

import time
from collections.abc import Callable
from pathlib import Path

from defib_dev.components.errors import NotReadyError
from defib_dev.components.processes import ProcessRecord, is_running

Check = Callable[[], str | None]
"""Answers None when ready, else what is still missing."""

_PAUSE_SECONDS = 0.1


def wait_until(name: str, check: Check, *, deadline_seconds: float) -> None:
    """Return when `check` answers None; raise `NotReadyError` with its last answer at the end."""
    end = time.monotonic() + deadline_seconds
    while (missing := check()) is not None:
        if time.monotonic() > end:
            raise NotReadyError(name, f"was not ready after {deadline_seconds:.0f} s: {missing}")
        time.sleep(_PAUSE_SECONDS)


def wait_for_process(record: ProcessRecord, check: Check, *, deadline_seconds: float) -> None:
    """As `wait_until`, but fail at once, with the log's end, when the process dies."""
    end = time.monotonic() + deadline_seconds
    log = Path(record.log)
    while (missing := check()) is not None:
        if not is_running(record):
            raise NotReadyError(record.name, "ended before it was ready.", log=log)
        if time.monotonic() > end:
            problem = f"was not ready after {deadline_seconds:.0f} s: {missing}"
            raise NotReadyError(record.name, problem, log=log)
        time.sleep(_PAUSE_SECONDS)
