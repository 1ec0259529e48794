"""What the code under test logs, in the form the processes log."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from defib_core.config.logs import configure_logging
from defib_core.config.settings import LogFormat


@dataclass(slots=True)
class Logged:
    """The lines so far."""

    stream: io.StringIO = field(default_factory=io.StringIO)

    def text(self) -> str:
        """All of it."""
        return self.stream.getvalue()

    def lines(self, level: str | None = None) -> list[dict[str, Any]]:
        """Each line as its fields."""
        found = [json.loads(line) for line in self.text().splitlines()]
        return [line for line in found if level is None or line["level"] == level]


@contextmanager
def logging_kept() -> Iterator[Logged]:
    """Log as the processes do, into memory, for as long as the block lasts."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    kept = Logged()
    configure_logging("info", LogFormat.JSON, kept.stream)
    try:
        yield kept
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)
