"""Each control through kubectl: a real API server, a real operator, a simulated Proxmox."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from defib_dev.components.kubectl import Kubectl
from operator_process.world import QUICK, World
from support.waiting import eventually_async

TIMEOUT = timedelta(milliseconds=QUICK["staleTimeoutMs"])
RACK = "topology.example.com/rack"

Run = Callable[..., Awaitable[str]]


@pytest.fixture
def ctl(world: World, kubectl: Kubectl) -> Run:
    """Kubectl in the world's namespace, beside the operator that runs in this process."""
    return ctl_in(world, kubectl)


def ctl_in(world: World, kubectl: Kubectl) -> Run:
    async def run(*arguments: str) -> str:
        return await asyncio.to_thread(kubectl.run, *arguments, f"--namespace={world.namespace}")

    return run


async def patch(ctl: Run, what: str, name: str, spec: dict[str, Any]) -> None:
    await ctl("patch", what, name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")


def moment(**by: float) -> str:
    return f"{datetime.now(UTC) + timedelta(**by):%Y-%m-%dT%H:%M:%SZ}"


async def deeds(world: World) -> list[tuple[str, str, str, Any]]:
    """Who did what, by which way, and why; oldest first."""
    rows = await world.sql(
        "SELECT actor, source, action, detail ->> 'reason' FROM audit ORDER BY id"
    )
    return [(actor, source, action, reason) for actor, source, action, reason in rows]


async def audited(world: World, *wanted: tuple[str, str, str | None]) -> None:
    """Wait until exactly this is in the log: by which way, what, and why."""

    async def is_so() -> bool:
        return await deeds(world) == [("kubectl", *one) for one in wanted]

    try:
        await eventually_async(is_so, what=f"audited: {wanted}")
    except AssertionError as error:
        raise AssertionError(f"{error}; seen: {await deeds(world)}") from error


async def intents(world: World) -> list[tuple[str, str | None, bool]]:
    """Each reset: its phase, why it was cancelled, and whether it was forced."""
    rows = await world.sql("SELECT phase, cancelled_by, forced FROM reset_history ORDER BY id")
    return [(phase, cancelled, forced) for phase, cancelled, forced in rows]


async def ended(world: World, *wanted: tuple[str, str | None, bool]) -> None:
    async def is_so() -> bool:
        return await intents(world) == list(wanted)

    try:
        await eventually_async(is_so, what=f"resets: {wanted}", deadline_seconds=20)
    except AssertionError as error:
        raise AssertionError(f"{error}; seen: {await intents(world)}") from error


async def was_reset(world: World, times: int = 1) -> None:
    async def is_so() -> bool:
        return world.posts(100) == ["reset"] * times

    await eventually_async(is_so, what=f"it was reset {times} times", deadline_seconds=30)


async def reset_a_full_timeout_after(world: World, action: str) -> None:
    """It is reset once, and not before a whole timeout after the control ended."""
    await was_reset(world)
    await world.health("web-0", "healthy")
    ((waited,),) = await world.sql(
        "SELECT r.requested_at - a.at FROM reset_history r, audit a"
        f" WHERE a.action = '{action}' AND r.source = 'auto'"
    )
    assert waited > TIMEOUT


async def held_for_long(world: World, reason: str) -> None:
    await world.held(100, reason)
    await world.sweeps(4)
    assert world.posts(100) == []


# pause


async def test_a_pause_in_the_spec_is_audited_as_it_comes_changes_and_goes(
    world: World, ctl: Run
) -> None:
    await world.watched("web-0", 100)

    await patch(ctl, "dvm", "web-0", {"paused": {"reason": "Kim: disk"}})
    await audited(world, ("manifest", "Pause", "Kim: disk"))
    world.change(100, frozen=True, bootSeconds=1)
    await held_for_long(world, "Paused")

    until = moment(hours=1)
    await patch(ctl, "dvm", "web-0", {"paused": {"reason": "Kim: disk", "until": until}})
    await audited(world, ("manifest", "Pause", "Kim: disk"), ("manifest", "Pause", "Kim: disk"))
    ((seen,),) = await world.sql("SELECT detail ->> 'until' FROM audit ORDER BY id DESC LIMIT 1")
    assert datetime.fromisoformat(seen) == datetime.fromisoformat(until)

    await patch(ctl, "dvm", "web-0", {"paused": None})
    await reset_a_full_timeout_after(world, "Unpause")
    assert [action for _, _, action, _ in await deeds(world)] == ["Pause", "Pause", "Unpause"]


async def test_a_restart_of_the_operator_audits_nothing_again(
    empty_world: World, kubectl: Kubectl
) -> None:
    world, ctl = empty_world, ctl_in(empty_world, kubectl)
    await world.furnish(globalStop={"reason": "storage"}, maintenance=[window(reason="Kim: fw")])
    await world.apply_vm("web-0", 100, paused={"reason": "Kim: disk"})
    for _ in range(2):
        async with world.operator():
            await world.condition("web-0", "Ready", "Monitored")
            await ctl(
                "label", "--overwrite", "dvm", "web-0", f"seen={datetime.now(UTC).microsecond}"
            )
            await world.sweeps(2)
    assert sorted(action for _, _, action, _ in await deeds(world)) == [
        "BeginGlobalStop",
        "OpenMaintenance",
        "Pause",
    ]


# maintenance


def window(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    given = {
        "name": "firmware",
        "matchLabels": {RACK: "r7"},
        "from": moment(minutes=-1),
        "until": moment(hours=1),
        "reason": "Kim: firmware",
    }
    return {**given, **changes}


async def test_a_window_in_the_systemconfig_holds_the_vms_it_names(world: World, ctl: Run) -> None:
    await world.watched("web-0", 100)
    await ctl("label", "dvm", "web-0", f"{RACK}=r7")

    await patch(ctl, "dsc", "default", {"maintenance": [window()]})
    await audited(world, ("manifest", "OpenMaintenance", "Kim: firmware"))
    world.change(100, frozen=True, bootSeconds=1)
    await held_for_long(world, "Maintenance")

    await patch(ctl, "dsc", "default", {"maintenance": []})
    await reset_a_full_timeout_after(world, "CloseMaintenance")


async def test_a_window_ends_by_itself_without_anybodys_deed(world: World, ctl: Run) -> None:
    await world.watched("web-0", 100)
    await ctl("label", "dvm", "web-0", f"{RACK}=r7")
    until = moment(seconds=6)
    await patch(ctl, "dsc", "default", {"maintenance": [window(until=until)]})
    await audited(world, ("manifest", "OpenMaintenance", "Kim: firmware"))
    world.change(100, frozen=True, bootSeconds=1)

    await world.held(100, "Maintenance")
    await was_reset(world)

    ((waited,),) = await world.sql(
        "SELECT r.requested_at - m.closed_at FROM reset_history r, maintenance m"
    )
    assert waited > TIMEOUT
    assert len(await deeds(world)) == 1


async def test_a_window_that_is_over_may_stay_in_the_spec(world: World, ctl: Run) -> None:
    await world.watched("web-0", 100)
    over = window(**{"from": moment(hours=-2), "until": moment(hours=-1)})
    await patch(ctl, "dsc", "default", {"maintenance": [over], "cpuThreshold": 70})

    async def is_in_force() -> bool:
        return await world.vm_row(100, "s.cpu_threshold") == (70.0,)

    await eventually_async(is_in_force, what="the new spec is in force")
    assert await world.sql("SELECT count(*) FROM maintenance") == [(0,)]
    assert await deeds(world) == []


# the global stop


async def test_a_stop_in_any_systemconfig_stops_everything_forced_resets_included(
    empty_world: World, kubectl: Kubectl
) -> None:
    world, ctl = empty_world, ctl_in(empty_world, kubectl)
    await world.furnish()
    await world.apply_config("another")
    async with world.operator():
        await world.watched("web-0", 100)
        await patch(ctl, "dsc", "another", {"globalStop": {"reason": "storage"}})
        await audited(world, ("manifest", "BeginGlobalStop", "storage"))
        world.change(100, frozen=True, bootSeconds=1)
        await held_for_long(world, "GlobalStop")

    async with world.operator():
        await world.sweeps(2)
        await ctl(
            *("annotate", "dvm", "web-0", f"defib.dev/reset-requested={moment()}"),
            *("defib.dev/reset-force=true", "defib.dev/reset-reason=Kim: now"),
        )
        await ended(world, ("cancelled", "GlobalStop", True))
        assert world.posts(100) == []
        another = await world.status("SystemConfig", "another")
        assert another["effective"].startswith("everything is stopped; ")

        await patch(ctl, "dsc", "another", {"globalStop": None})
        await was_reset(world)

    ((waited,),) = await world.sql(
        "SELECT r.requested_at - g.ended_at FROM reset_history r, global_stop g"
        " WHERE r.source = 'auto'"
    )
    assert waited > TIMEOUT
    assert [(source, action) for _, source, action, _ in await deeds(world)] == [
        ("manifest", "BeginGlobalStop"),
        ("annotation", "Reset"),
        ("manifest", "EndGlobalStop"),
    ]


# annotations


async def test_a_clear_by_annotation_acts_once_for_each_time(
    empty_world: World, kubectl: Kubectl
) -> None:
    world, ctl = empty_world, ctl_in(empty_world, kubectl)
    await world.furnish(maxResetAttempts=1, bootGraceSeconds=1)

    async def clear(value: str) -> None:
        await ctl(
            *("annotate", "--overwrite", "dvm", "web-0", f"defib.dev/clear-requested={value}"),
            "defib.dev/clear-reason=Kim: new disk",
        )

    async with world.operator():
        await world.watched("web-0", 100)
        world.change(100, frozen=True, bootSeconds=None)
        await world.health("web-0", "reset_failed")

        asked = moment()
        await clear(asked)
        await audited(world, ("annotation", "Clear", "Kim: new disk"))
        await was_reset(world, 2)

    async with world.operator():
        await world.sweeps(2)
        for value in (moment(minutes=-6), "now", asked):
            await clear(value)
            await world.sweeps(2)
        assert len(await deeds(world)) == 1
        await clear(moment(seconds=1))

        async def again() -> bool:
            return len(await deeds(world)) == 2

        await eventually_async(again, what="another time clears again")
    transitions = await world.sql("SELECT count(*) FROM vm_transition WHERE reason = 'Cleared'")
    assert transitions == [(2,)]


async def test_force_beside_the_request_overrides_used_up_attempts(world: World, ctl: Run) -> None:
    await world.apply_config(maxResetAttempts=1, bootGraceSeconds=1)
    await world.watched("web-0", 100)
    world.change(100, frozen=True, bootSeconds=None)
    await world.health("web-0", "reset_failed")
    automatic = ("succeeded", None, False)

    await ctl("annotate", "dvm", "web-0", f"defib.dev/reset-requested={moment()}")
    await ended(world, automatic, ("cancelled", "AttemptsExhausted", False))

    await ctl(
        *("annotate", "--overwrite", "dvm", "web-0"),
        *(f"defib.dev/reset-requested={moment(seconds=1)}", "defib.dev/reset-force=true"),
    )
    await ended(
        world,
        automatic,
        ("cancelled", "AttemptsExhausted", False),
        ("succeeded", None, True),
    )
    assert world.posts(100) == ["reset", "reset"]
    await audited(
        world,
        ("annotation", "Reset", "asked for by annotation"),
        ("annotation", "Reset", "asked for by annotation"),
    )
