"""The story of a reset as one trace, told to a real OTLP receiver."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from defib_core.tracing.spans import ResetTrace
from operator_process.world import World
from support.otlp_receiver import Received, Receiver, otlp_receiver
from support.proxmox import SECRET
from support.waiting import eventually_async

LONG = 60
STEPS = ["requested", "look", "post reset", "task", "verified"]


async def arrived(receiver: Receiver, *names: str) -> None:
    """Wait until spans of these names have arrived."""

    async def are_there() -> bool:
        return all(receiver.named(name) for name in names)

    await eventually_async(are_there, what=f"{names} arrive", deadline_seconds=LONG)


async def test_a_reset_is_one_trace_from_the_intent_to_the_proof(
    empty_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("defib_operator.figuring.EVERY", timedelta(milliseconds=300))
    world = empty_world
    await world.furnish()
    with otlp_receiver() as receiver:
        async with world.operator(
            tracing_url=receiver.url,
            tracing_ratio=1,
            tracing_headers=SecretStr("authorization=Bearer%20only-for-tests,x-team=ops"),
        ):
            await world.watched("web-0", 100)
            world.change(100, frozen=True, bootSeconds=1)
            await arrived(receiver, "reset", "verified", "sweep")

    (root,) = receiver.named("reset")
    told = receiver.trace(root.trace_id)
    assert root.parent_id == b""
    assert root.service == "defib-operator"
    assert {name: root.attributes[f"defib.{name}"] for name in ("action", "source", "outcome")} == {
        "action": "Reset",
        "source": "auto",
        "outcome": "succeeded",
    }
    below = [one for one in told if one.parent_id == root.span_id]
    assert sorted(one.name for one in below) == sorted(STEPS)
    assert _in_order(below, "look", "post reset", "task")
    calls = {one.name: _parent(one, told) for one in told if one.name.startswith("proxmox ")}
    assert calls["proxmox reset"] == "post reset"
    assert calls["proxmox task_status"] == "task"
    assert calls["proxmox vm_status"] == "look"
    assert not any(one.failed for one in (root, *below))

    sweeps = receiver.named("sweep")
    assert sweeps
    assert root.trace_id not in {one.trace_id for one in sweeps}
    assert set(receiver.paths) == {"/v1/traces"}
    assert receiver.headers[0]["authorization"] == "Bearer only-for-tests"
    assert receiver.headers[0]["x-team"] == "ops"
    body = b"".join(receiver.bodies)
    for secret in (SECRET, "only-for-tests", world.database_url):
        assert secret.encode() not in body


async def test_resets_are_traced_whatever_the_share_of_the_rest(empty_world: World) -> None:
    world = empty_world
    await world.furnish()
    with otlp_receiver() as receiver:
        async with world.operator(tracing_url=receiver.url, tracing_ratio=0):
            await world.watched("web-0", 100)
            world.change(100, frozen=True, bootSeconds=1)
            await arrived(receiver, "reset")
    (root,) = receiver.named("reset")
    assert {one.trace_id for one in receiver.spans} == {root.trace_id}


async def test_a_receiver_that_is_away_keeps_nobody_from_being_reset(empty_world: World) -> None:
    world = empty_world
    await world.furnish()
    async with world.operator(tracing_url="http://127.0.0.1:1", tracing_ratio=1):
        await world.watched("web-0", 100)
        world.change(100, frozen=True, bootSeconds=1)

        async def proven() -> bool:
            return await world.resets(100) == [("auto", "succeeded", True)]

        await eventually_async(proven, what="the recovery is proven", deadline_seconds=LONG)
    errors = world.logged.lines("error")
    assert all(line["logger"].startswith("opentelemetry") for line in errors)
    world.expected_errors |= {line["event"] for line in errors}


def test_any_process_knows_the_trace_of_an_intent() -> None:
    at = datetime(2026, 11, 26, 12, 0, 0, 123456, tzinfo=UTC)
    one, same = ResetTrace(7, at), ResetTrace(7, at.astimezone())
    assert (one.trace_id, one.root_id) == (same.trace_id, same.root_id)
    others = [ResetTrace(8, at), ResetTrace(7, at + timedelta(microseconds=1))]
    assert one.trace_id not in {other.trace_id for other in others}
    assert 0 < one.trace_id < 2**128
    assert 0 < one.root_id < 2**64


def _in_order(spans: list[Received], *names: str) -> bool:
    times = [next(one.begins for one in spans if one.name == name) for name in names]
    return times == sorted(times)


def _parent(span: Received, told: list[Received]) -> str:
    return next(one.name for one in told if one.span_id == span.parent_id)
