"""How the processes write log lines: an event name and fields, as JSON or for a console.

Lines of the standard library's `logging` (uvicorn, kopf, SQLAlchemy) come out in the same form.
This module removes nothing by magic: who logs a secret has written a bug.
"""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from defib_core.config.settings import LogFormat

QUIET = ("uvicorn.access", "asyncio", "urllib3", "httpx", "httpcore")
"""Loggers that say more than anybody wants below a warning."""


def configure_logging(level: str, log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Set up structlog and `logging` for this process; `level` is debug, info, warning or error.

    Call it once, first thing in `main`. Lines go to `stream`, stderr where none is given.
    """
    out = sys.stderr if stream is None else stream
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(log_format, colors=out.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _shared() -> list[Processor]:
    return [
        structlog.stdlib.filter_by_level,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_color_message,
    ]


def _without_color_message(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Uvicorn sends each of its lines twice, the second time with escape codes."""
    event.pop("color_message", None)
    return event


def _formatter(log_format: LogFormat, *, colors: bool) -> logging.Formatter:
    last: list[Processor]
    if log_format is LogFormat.JSON:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # The rich tracebacks print local variables, and with them whatever secret is in one.
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    # Foreign lines were filtered by their own logger already, and carry no structlog logger.
    foreign = [one for one in _shared() if one is not structlog.stdlib.filter_by_level]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=foreign,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
