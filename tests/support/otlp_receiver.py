"""A receiver of traces: takes OTLP over HTTP as a collector does, and keeps what it decodes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

ERROR = 2
"""The code of a span's status in the protocol."""


@dataclass(frozen=True, slots=True)
class Received:
    """One span, as it arrived."""

    service: str
    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    begins: int
    ends: int
    attributes: dict[str, Any]
    links: list[bytes]
    failed: bool


@dataclass(slots=True)
class Receiver:
    """What has arrived so far."""

    port: int
    spans: list[Received] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """What DEFIB_TRACING_URL takes."""
        return f"http://127.0.0.1:{self.port}"

    def named(self, name: str) -> list[Received]:
        """The spans of a name."""
        return [one for one in self.spans if one.name == name]

    def trace(self, trace_id: bytes) -> list[Received]:
        """The spans of a trace, in the order of their beginnings."""
        found = [one for one in self.spans if one.trace_id == trace_id]
        return sorted(found, key=lambda one: one.begins)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Decode a request."""
        self.paths.append(path)
        self.headers.append(headers)
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = _plain(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans.extend(_received(about["service.name"], one) for one in scope.spans)


@contextmanager
def otlp_receiver() -> Iterator[Receiver]:
    """A receiver on loopback for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_address[1])
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _received(service: str, span: Any) -> Received:  # noqa: ANN401 - made of a protocol's file
    return Received(
        service=service,
        name=span.name,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_span_id,
        begins=span.start_time_unix_nano,
        ends=span.end_time_unix_nano,
        attributes=_plain(span.attributes),
        links=[one.trace_id for one in span.links],
        failed=span.status.code == ERROR,
    )


def _plain(attributes: Any) -> dict[str, Any]:  # noqa: ANN401 - same
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
