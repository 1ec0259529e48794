"""A person asks for one reset by annotation."""

from datetime import UTC, datetime, timedelta

import pytest

from operator_process.world import CLUSTER, VM, World
from support.waiting import eventually_async

REQUESTED, REASON = "defib.dev/reset-requested", "defib.dev/reset-reason"


def moment(*, minutes: float = 0) -> str:
    """A time as `date -u +%Y-%m-%dT%H:%M:%SZ` writes it."""
    return f"{datetime.now(UTC) + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"


async def annotate(world: World, **annotations: str | None) -> None:
    """Set annotations; `requested` and `reason`."""
    names = {"requested": REQUESTED, "reason": REASON}
    given = {names[key]: value for key, value in annotations.items()}
    await world.kube.patch(VM, "web-0", {"metadata": {"annotations": given}})


async def ended(world: World, *phases: str) -> None:
    """Wait until the resets are these."""

    async def is_so() -> bool:
        return [row[1] for row in await world.resets(100)] == list(phases)

    await eventually_async(is_so, what=f"resets: {phases}")


async def test_an_annotation_resets_once_also_over_a_restart(empty_world: World) -> None:
    world = empty_world
    await world.furnish()
    async with world.operator():
        await world.watched("web-0", 100)

        await annotate(world, requested=moment(), reason="hangs at login, Kim")

        await ended(world, "succeeded")
        rows = await world.sql("SELECT source, reason, actor FROM reset_history")
        assert rows == [("annotation", "hangs at login, Kim", "kubectl")]
        await world.kube.patch(VM, "web-0", {"metadata": {"labels": {"touched": "yes"}}})
        await world.sweeps(2)

    async with world.operator():
        await world.sweeps(2)
        assert world.posts(100) == ["reset"]
        await ended(world, "succeeded")
        status = await world.status(VM, "web-0")
        assert status["lastReset"]["reason"] == "hangs at login, Kim"


async def test_another_time_asks_for_another_reset(world: World) -> None:
    await world.watched("web-0", 100)

    await annotate(world, requested=moment())
    await ended(world, "succeeded")
    await annotate(world, requested=moment(minutes=1))
    await ended(world, "succeeded", "succeeded")

    assert world.posts(100) == ["reset", "reset"]


async def test_old_and_unreadable_ones_are_ignored_and_said_so(world: World) -> None:
    await world.watched("web-0", 100)
    ignored = [
        "now",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2020-01-31T12:00:00Z",
        "9999-12-31T23:59:59Z",
    ]

    def said() -> list[str]:
        lines = world.logged.lines()
        return [one["value"] for one in lines if one["event"] == "annotation_ignored"]

    for value in ignored:
        await annotate(world, requested=value)

        async def is_said(value: str = value) -> bool:
            return value in said()

        await eventually_async(is_said, what=f"{value} is said to be ignored")
    await world.sweeps(1)
    assert await world.resets(100) == []
    assert world.posts(100) == []


async def test_one_that_is_held_back_says_why_in_the_status_and_an_event(world: World) -> None:
    await world.watched("web-0", 100)
    world.change(100, lock="backup")

    await annotate(world, requested=moment(), reason="Kim")

    await ended(world, "cancelled")

    async def shows() -> bool:
        last = (await world.status(VM, "web-0")).get("lastReset", {})
        return (last.get("outcome"), last.get("reason")) == ("cancelled", "Kim")

    await eventually_async(shows, what="the status shows it was cancelled")

    async def is_told() -> str | None:
        events = {one["reason"]: one for one in await world.kube.events("web-0")}
        return events["ResetCancelled"]["note"] if "ResetCancelled" in events else None

    note = await eventually_async(is_told, what="an Event tells why")
    assert note is not None
    assert "it is locked in Proxmox (backup)" in note
    assert world.posts(100) == []


async def test_a_vm_made_since_the_last_look_at_the_cluster_is_found(
    empty_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = empty_world
    monkeypatch.setattr("defib_operator.cluster_watch.LOOK_EVERY", timedelta(hours=1))
    monkeypatch.setattr("defib_operator.cluster_watch.FRESH_FOR", timedelta(hours=1))
    await world.furnish()
    async with world.operator():
        await world.condition("default", "Reachable", "Connected", kind=CLUSTER)
        await world.watched("web-0", 100)

        await annotate(world, requested=moment())

        await ended(world, "succeeded")
