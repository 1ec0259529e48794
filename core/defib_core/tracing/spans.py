"""Spans of what a process does; nothing at all where DEFIB_TRACING_URL is not set.

Knows no library: `otlp.py` does, and is imported only where traces are wanted. A process begins
tracing once, as it sets up its log. Attributes name things by numbers and words of ours: never a
token, an address, a reason that somebody wrote, or what somebody searched for.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from defib_core.config.settings import SettingsError, TracingSettings

Attributes = Mapping[str, str | int | float | bool]

RESET = "reset"
NEEDS_EXTRA = "DEFIB_TRACING_URL needs {name}: pip install 'defib[tracing]'"
TRACE_BYTES, SPAN_BYTES = 16, 8


@dataclass(frozen=True, slots=True)
class ResetTrace:
    """The trace of one reset. Any process, and any successor, knows its ids from the intent."""

    intent_id: int
    requested_at: datetime

    @property
    def trace_id(self) -> int:
        """The trace's id; `requested_at` tells installations apart that share a receiver."""
        return int.from_bytes(self._digest()[:TRACE_BYTES], "big")

    @property
    def root_id(self) -> int:
        """The id of its first span, under which the others hang."""
        return int.from_bytes(self._digest()[TRACE_BYTES:][:SPAN_BYTES], "big")

    def _digest(self) -> bytes:
        microseconds = round(self.requested_at.timestamp() * 1_000_000)
        return hashlib.sha256(f"defib {self.intent_id} {microseconds}".encode()).digest()


class Tracing(Protocol):
    """What makes spans."""

    def span(self, name: str, attributes: Attributes) -> AbstractContextManager[object]:
        """Make a span of the block, the current one's child where there is one."""
        ...

    def inner(self, name: str, attributes: Attributes) -> AbstractContextManager[object]:
        """Make the same, but only where the current span is recorded."""
        ...

    def note(self, attributes: Attributes) -> None:
        """Add to the current span."""
        ...

    def of_reset(
        self, reset: ResetTrace, name: str, attributes: Attributes
    ) -> AbstractContextManager[object]:
        """Make a span of the block in the reset's trace."""
        ...

    def told(
        self,
        reset: ResetTrace,
        name: str,
        lasted: tuple[datetime, datetime],
        attributes: Attributes,
        *,
        failed: bool = False,
    ) -> None:
        """Make a span of what is over; the one called RESET is the trace's first."""
        ...

    def link(self, reset: ResetTrace) -> None:
        """Say that the current span asked for this reset."""
        ...

    def request(
        self, method: str, headers: Mapping[str, str]
    ) -> AbstractContextManager["RequestSpan"]:
        """Make a span of a request, the child of the one that its `traceparent` names."""
        ...

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        ...


class RequestSpan(Protocol):
    """The span of a request."""

    def answered(self, route: str, status: int, request_id: str) -> None:
        """Note what it came to. The route, not the path: that may hold anything."""
        ...


def _begin() -> Callable[[TracingSettings, str], Tracing]:
    try:
        from defib_core.tracing.otlp import begin  # noqa: PLC0415 - only this needs the extra
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("defib"):
            raise
        raise SettingsError(NEEDS_EXTRA.format(name=error.name)) from error
    return begin


class _Current:
    """What this process traces with."""

    tracing: Tracing | None = None


_NOTHING: AbstractContextManager[None] = nullcontext()


@asynccontextmanager
async def traced(settings: TracingSettings, process: str) -> AsyncIterator[None]:
    """Trace for as long as the block lasts, where a receiver is set; raises SettingsError."""
    if settings.tracing_url is None:
        yield
        return
    tracing = _Current.tracing = _begin()(settings, process)
    try:
        yield
    finally:
        _Current.tracing = None
        await asyncio.to_thread(tracing.close)


def require(settings: TracingSettings) -> None:
    """Raise SettingsError where traces are wanted and cannot be made."""
    if settings.tracing_url is not None:
        _begin()


def current() -> Tracing | None:
    """Give what makes spans; None where nobody wants any."""
    return _Current.tracing


def span(name: str, **attributes: str | float | bool) -> AbstractContextManager[object]:
    """Make a span of the block."""
    tracing = _Current.tracing
    return _NOTHING if tracing is None else tracing.span(name, attributes)


def inner(name: str, **attributes: str | float | bool) -> AbstractContextManager[object]:
    """Make a span of the block where it belongs to something that is recorded."""
    tracing = _Current.tracing
    return _NOTHING if tracing is None else tracing.inner(name, attributes)


def note(**attributes: str | float | bool) -> None:
    """Add to the current span."""
    if _Current.tracing is not None:
        _Current.tracing.note(attributes)


def of_reset(
    reset: ResetTrace, name: str, **attributes: str | float | bool
) -> AbstractContextManager[object]:
    """Make a span of the block in a reset's trace."""
    tracing = _Current.tracing
    return _NOTHING if tracing is None else tracing.of_reset(reset, name, attributes)


def told(
    reset: ResetTrace,
    name: str,
    lasted: tuple[datetime, datetime],
    *,
    failed: bool = False,
    **attributes: str | float | bool,
) -> None:
    """Make a span of what is over."""
    if _Current.tracing is not None:
        _Current.tracing.told(reset, name, lasted, attributes, failed=failed)


def link(reset: ResetTrace) -> None:
    """Say that the current span asked for this reset."""
    if _Current.tracing is not None:
        _Current.tracing.link(reset)
