"""Makes spans with OpenTelemetry and sends them by OTLP over HTTP, from a thread of its own.

The only module that knows OpenTelemetry; of the extra `tracing`. Where the receiver is away, or
slow, spans are dropped once 2,048 wait: tracing holds nothing up.
"""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from threading import Thread
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes as OtelAttributes

from defib_core.config.settings import TracingSettings
from defib_core.tracing.spans import RESET, Attributes, RequestSpan, ResetTrace

PATH = "/v1/traces"
SEND_SECONDS, CLOSE_SECONDS = 5, 3
MOST_WAITING = 2048
SERVER_ERROR = 500
OTHER = "other"

_wanted: ContextVar[ResetTrace | None] = ContextVar("wanted_ids", default=None)


def begin(settings: TracingSettings, process: str) -> "Otlp":
    """Begin tracing with a receiver."""
    assert settings.tracing_url is not None
    ca = settings.tracing_ca_file
    exporter = OTLPSpanExporter(
        endpoint=_endpoint(settings.tracing_url),
        headers=settings.headers_of_traces,
        certificate_file=None if ca is None else str(ca),
        timeout=SEND_SECONDS,
    )
    provider = TracerProvider(
        sampler=ParentBased(root=_Share(settings.tracing_ratio)),
        id_generator=_Ids(),
        resource=Resource.create(
            {
                "service.name": f"defib-{process}",
                "service.version": version("defib"),
                "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
            }
        ),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=MOST_WAITING))
    return Otlp(provider, exporter)


class Otlp:
    """Makes spans; see `spans.Tracing`."""

    def __init__(self, provider: TracerProvider, exporter: OTLPSpanExporter) -> None:
        self._provider = provider
        self._exporter = exporter
        self._tracer = provider.get_tracer("defib")

    def span(self, name: str, attributes: Attributes) -> AbstractContextManager[object]:
        """Make a span of the block."""
        return self._around(name, attributes)

    @contextmanager
    def inner(self, name: str, attributes: Attributes) -> Iterator[None]:
        """Make a span of the block where the current one is recorded."""
        if not trace.get_current_span().is_recording():
            yield
            return
        with self._around(name, attributes, kind=SpanKind.CLIENT):
            yield

    @contextmanager
    def _around(
        self,
        name: str,
        attributes: Attributes,
        *,
        above: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Iterator[trace.Span]:
        """Make a span of the block. Of an error only the kind is told: it may say anything."""
        with self._tracer.start_as_current_span(
            name,
            context=above,
            kind=kind,
            attributes=_named(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as made:
            try:
                yield made
            except BaseException as error:
                made.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def note(self, attributes: Attributes) -> None:
        """Add to the current span."""
        trace.get_current_span().set_attributes(dict(_named(attributes) or {}))

    def of_reset(
        self, reset: ResetTrace, name: str, attributes: Attributes
    ) -> AbstractContextManager[object]:
        """Make a span of the block in the reset's trace."""
        return self._around(name, attributes, above=_below(reset))

    def told(
        self,
        reset: ResetTrace,
        name: str,
        lasted: tuple[datetime, datetime],
        attributes: Attributes,
        *,
        failed: bool = False,
    ) -> None:
        """Make a span of what is over."""
        is_first = name == RESET
        ids = _wanted.set(reset if is_first else None)
        try:
            made = self._tracer.start_span(
                name,
                context=Context() if is_first else _below(reset),
                start_time=_nanoseconds(lasted[0]),
                attributes=_named(attributes),
            )
        finally:
            _wanted.reset(ids)
        if failed:
            made.set_status(StatusCode.ERROR)
        made.end(_nanoseconds(max(lasted)))

    def link(self, reset: ResetTrace) -> None:
        """Say that the current span asked for this reset."""
        trace.get_current_span().add_link(_context_of(reset))

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[RequestSpan]:
        """Make a span of a request."""
        above = TraceContextTextMapPropagator().extract(headers)
        with self._around(method, {}, above=above, kind=SpanKind.SERVER) as made:
            made.set_attribute("http.request.method", method)
            yield _Request(made, method)

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        closing = Thread(target=self._provider.shutdown, name="tracing", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        if closing.is_alive():  # it tries again and again; enough of that
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class _Request:
    made: trace.Span
    method: str

    def answered(self, route: str, status: int, request_id: str) -> None:
        """Note what it came to."""
        self.made.update_name(f"{self.method} {route}")
        self.made.set_attributes(
            {
                "http.route": route,
                "http.response.status_code": status,
                "defib.request_id": request_id,
            }
        )
        if status >= SERVER_ERROR:
            self.made.set_status(StatusCode.ERROR)


class _Share(Sampler):
    """Resets always; of what else begins a trace, a share."""

    def __init__(self, ratio: float) -> None:
        self._share = TraceIdRatioBased(ratio)

    def should_sample(  # noqa: PLR0917 - the library's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: OtelAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide on a first span."""
        if name == RESET:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return self._share.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """Describe it."""
        return f"resets, and of the rest {self._share.get_description()}"


class _Ids(RandomIdGenerator):
    """Random ids, but for the first span of a reset, whose ids follow from the intent."""

    def generate_trace_id(self) -> int:
        wanted = _wanted.get()
        return super().generate_trace_id() if wanted is None else wanted.trace_id

    def generate_span_id(self) -> int:
        wanted = _wanted.get()
        return super().generate_span_id() if wanted is None else wanted.root_id


def _endpoint(url: str) -> str:
    return url if urlsplit(url).path not in {"", "/"} else url.rstrip("/") + PATH


def _named(attributes: Attributes) -> OtelAttributes:
    return {f"defib.{name}": value for name, value in attributes.items()}


def _context_of(reset: ResetTrace) -> SpanContext:
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(reset.trace_id, reset.root_id, is_remote=True, trace_flags=sampled)


def _below(reset: ResetTrace) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(_context_of(reset)), Context())


def _nanoseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000) * 1000
