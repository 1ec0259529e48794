"""Traces of requests: opt-in, under their caller's, and without anything that somebody typed."""

from pydantic import SecretStr

from defib_api.app import create_app
from defib_api.ingest.route import IngestFirst
from defib_api.traced import Traced
from defib_core.tracing import spans
from defib_core.tracing.spans import ResetTrace
from support.otlp_receiver import otlp_receiver
from support.running_api import running_api, settings_for

CALLER = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


async def test_a_request_is_a_span_below_its_callers(database_url: str) -> None:
    with otlp_receiver() as receiver:
        async with running_api(
            database_url, None, tracing_url=receiver.url, tracing_ratio=0
        ) as api:
            await api.report()
            headers = {**api.admin, "traceparent": f"00-{CALLER}-{PARENT}-01"}
            answer = await api.http.get("/api/vms/vm_1?note=geheim", headers=headers)
            await api.get("/api/status")
    (span,) = receiver.spans
    assert span.service == "defib-api"
    assert span.name == f"GET {span.attributes['http.route']}"
    assert "{vm_id}" in span.name
    assert (span.trace_id.hex(), span.parent_id.hex()) == (CALLER, PARENT)
    assert span.attributes["http.response.status_code"] == answer.status_code
    assert span.attributes["defib.request_id"] == answer.headers["x-request-id"]
    sent = b"".join(receiver.bodies)
    for told_nobody in (b"geheim", api.admin_token.encode(), api.agent_key.encode()):
        assert told_nobody not in sent


async def test_whoever_asks_for_a_reset_finds_its_trace(database_url: str) -> None:
    with otlp_receiver() as receiver:
        async with running_api(
            database_url,
            None,
            tracing_url=receiver.url,
            tracing_ratio=1,
            manual_reset_wait_seconds=0.2,
        ) as api:
            await api.report()
            ((vm_id,),) = await api.sql("SELECT id FROM vm")
            assert (await api.ask_reset(f"vm_{vm_id}")).status_code == 202
            ((number, at),) = await api.sql("SELECT id, requested_at FROM reset_history")
    (asked,) = [one for one in receiver.spans if one.name.startswith("POST ")]
    assert asked.links == [ResetTrace(number, at).trace_id.to_bytes(16, "big")]


async def test_reports_are_never_traced(database_url: str) -> None:
    with otlp_receiver() as receiver:
        async with running_api(
            database_url, None, tracing_url=receiver.url, tracing_ratio=1
        ) as api:
            assert (await api.report()).status_code == 200
            assert (await api.batch({})).status_code == 200
    assert {one.attributes["http.route"] for one in receiver.spans} <= {"/readyz"}


async def test_without_a_receiver_nothing_is_installed(database_url: str) -> None:
    app = create_app(settings_for(database_url, None))
    assert isinstance(app, IngestFirst)
    assert Traced not in [one.cls for one in app._app.user_middleware]
    assert spans.current() is None
    assert spans.span("sweep") is spans.inner("look")
    wanted = create_app(settings_for(database_url, None, tracing_url="http://127.0.0.1:1"))
    assert isinstance(wanted, IngestFirst)
    assert Traced in [one.cls for one in wanted._app.user_middleware]
    assert spans.current() is None, "it begins with the lifespan"


async def test_a_receiver_that_is_away_is_no_trouble(database_url: str) -> None:
    async with running_api(
        database_url,
        None,
        tracing_url="http://127.0.0.1:1/v1/traces",
        tracing_ratio=1,
        tracing_headers=SecretStr("authorization=Bearer%20only-for-tests"),
    ) as api:
        assert (await api.get("/api/status")).status_code == 200
