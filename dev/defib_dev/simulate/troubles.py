"""Errors of production's code while a scenario runs: each is a failure of the scenario.

Errors that the scenario itself made, by taking the database away or killing a process, are none.
"""

import asyncio
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

from defib_dev.simulate.blocking import DatabaseIsAway
from defib_dev.simulate.expectations import Failure
from defib_dev.simulate.replica import ProcessDied

EXPECTED = (DatabaseIsAway, ProcessDied, asyncio.CancelledError)
ERROR_LEVEL = 40
Context = dict[str, Any]


class Troubles:
    """What went wrong that should not have."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Collect what production logs as errors; everything else it logs is dropped."""
        before = structlog.get_config()
        structlog.configure(
            processors=[self._logged],
            wrapper_class=structlog.make_filtering_bound_logger(ERROR_LEVEL),
            logger_factory=structlog.ReturnLoggerFactory(),
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            structlog.configure(**before)

    def in_task(self, _: asyncio.AbstractEventLoop, context: Context) -> None:
        """Take what a task ended with that nobody waited for."""
        error = context.get("exception")
        if not _is_expected(error):
            self._note(str(context.get("message")), error)

    def failures(self) -> list[Failure]:
        """Say what went wrong."""
        return [Failure("some time", "no error in the operator", text) for text in self._found]

    def _logged(self, _: object, __: str, event: MutableMapping[str, Any]) -> str:
        error = event.get("exc_info")
        error = event.get("error") if not isinstance(error, BaseException) else error
        if event.get("exc_info") is True:
            error = sys.exc_info()[1]
        if not _is_expected(error):
            self._note(f"{event.get('event')} {event.get('loop', '')}".strip(), error)
        return ""

    def _note(self, what: str, error: object) -> None:
        text = what if error is None else f"{what}: {error!r}"
        if isinstance(error, BaseException):
            where = traceback.extract_tb(error.__traceback__)[-1:]
            text += "".join(f" in {one.filename.rsplit('/', 1)[-1]}:{one.lineno}" for one in where)
        self._found[text] = None


def _is_expected(error: object) -> bool:
    while isinstance(error, BaseException):
        if isinstance(error, EXPECTED):
            return True
        error = getattr(error, "orig", None) or error.__cause__ or error.__context__
    return False
