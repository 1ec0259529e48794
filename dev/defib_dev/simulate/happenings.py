"""Makes the events of a scenario happen. Judges nothing: what follows is production's to decide."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.actions import Source
from defib_core.store import controls, intents
from defib_core.store.clock import database_now
from defib_core.store.controls import Who
from defib_core.store.intents import ManualRequest, Requested
from defib_dev.proxmox_sim.model import ModelError
from defib_dev.simulate import scenario as values
from defib_dev.simulate.reading import NotAScenario
from defib_dev.simulate.scenario import ALL, Event, Vm
from defib_dev.simulate.world import Asked, World

WHO = Who(actor="scenario", source=Source.CLI)
STOPPED_BECAUSE = "the scenario stops everything"
IN_PROGRESS = "InProgress"

Act = Callable[[AsyncConnection, datetime], Awaitable[object]]


async def happen(world: World, event: Event) -> None:
    """Make one event happen now. Raises NotAScenario where it is impossible."""
    world.make_up()
    world.stillness.stir()
    try:
        await HOW[type(event.happening)](world, event.happening)
    except ModelError as error:
        raise NotAScenario(event.line, f"this cannot happen: {error}") from error


async def _silence(world: World, one: values.Silence) -> None:
    world.guests.change(_named(world, one.vms), {"frozen": True})


async def _agent_dies(world: World, one: values.AgentDies) -> None:
    world.guests.change(_named(world, one.vms), {"agentDead": True})


async def _resume(world: World, one: values.Resume) -> None:
    world.guests.change(_named(world, one.vms), {"frozen": False, "agentDead": False})


def _named(world: World, names: Sequence[str]) -> list[Vm]:
    """Find guests by name; `all` are those that there are."""
    found = world.scenario.vms(names)
    if ALL in names:
        return [vm for vm in found if world.guests.guest(vm) is not None]
    return found


async def _metrics(world: World, one: values.Metrics) -> None:
    figures = world.guests.figures[one.vm]
    figures.cpu = figures.cpu if one.cpu is None else one.cpu
    figures.ram = figures.ram if one.ram is None else one.ram


async def _reject(world: World, one: values.Reject) -> None:
    names = {vm.name for vm in world.scenario.vms(one.vms)}
    if one.refused:
        world.guests.refused |= names
    else:
        world.guests.refused -= names


async def _outage(world: World, one: values.Outage) -> None:
    match one.part:
        case "ingest" if one.up:
            await world.ingest.come_up()
        case "ingest":
            world.ingest.go_down()
        case "kubernetes":
            world.kubernetes.is_up = one.up
            await world.deliver()
        case _:
            _set_database(world, up=one.up)


def _set_database(world: World, *, up: bool) -> None:
    if up != world.database_is_up:
        world.make_up()
        world.database_is_up = up
        world.later(world.ingest.after_break())


async def _jump(world: World, one: values.ClockJump) -> None:
    world.make_up()
    world.timeline.database_ahead += timedelta(seconds=one.by)
    for replica in world.replicas:
        replica.leadership.must_renew()
    world.later(world.ingest.after_break())


async def _kill(world: World, one: values.KillOperator) -> None:
    if one.step is not None:
        world.armed.step = one.step
        return
    for replica in world.living()[:1]:
        replica.die()


async def _start(world: World, _: values.StartOperator) -> None:
    world.start_replica()


async def _operators(world: World, one: values.Operators) -> None:
    living = world.living()
    for replica in living[one.count :]:
        await replica.end()
    for _ in range(one.count - len(living)):
        world.start_replica()


async def _node(world: World, one: values.NodeState) -> None:
    world.guests.dc.set_online(one.node, online=one.online, now=world.timeline.now)


async def _api(world: World, one: values.ProxmoxApi) -> None:
    world.guests.dc.mode = one.mode


async def _next_post(world: World, one: values.NextPost) -> None:
    world.guests.dc.next_posts.clear()
    if one.fault is not None:
        world.guests.dc.next_posts.append(one.fault)


async def _proxmox(world: World, one: values.ProxmoxChange) -> None:
    world.guests.change([world.scenario.vm(one.vm)], dict(one.changes))


async def _config(world: World, one: values.ConfigChange) -> None:
    world.kubernetes.change_config(one.fields)
    await world.deliver()


async def _pause(world: World, one: values.Pause) -> None:
    until = None
    if one.lasts is not None:
        until = world.timeline.database_now + timedelta(seconds=one.lasts)
    world.kubernetes.pause(world.scenario.vm(one.vm), one.reason, until)
    await world.deliver()


async def _unpause(world: World, one: values.Unpause) -> None:
    world.kubernetes.unpause(world.scenario.vm(one.vm))
    await world.deliver()


async def _global_stop(world: World, one: values.GlobalStop) -> None:
    async def act(connection: AsyncConnection, now: datetime) -> None:
        if one.stopped:
            await controls.begin_global_stop(connection, WHO, STOPPED_BECAUSE, now)
        else:
            await controls.end_global_stop(connection, WHO, now)
        world.is_stopped = one.stopped

    await _insist(world, act)


async def _clear(world: World, one: values.Clear) -> None:
    vm_id = world.vm_ids[one.vm]
    await _insist(world, lambda connection, now: controls.clear(connection, WHO, vm_id, now))


async def _manual_reset(world: World, one: values.ManualReset) -> None:
    at = world.timeline.elapsed
    request = ManualRequest(
        vm_id=world.vm_ids[one.vm],
        source=Source.CLI,
        actor=WHO.actor,
        reason=one.reason,
        forced=one.force,
    )

    async def act(connection: AsyncConnection, now: datetime) -> None:
        asked = await intents.request_manual(connection, request, now)
        if isinstance(asked, Requested):
            world.asked.append(Asked(one.vm, at, asked.intent_id))
        else:
            world.asked.append(Asked(one.vm, at, None, refused=IN_PROGRESS))

    await _insist(world, act)
    for replica in world.replicas:
        replica.wake()


async def _insist(world: World, act: Act) -> None:
    """Do what a person wants; where the database is away, as soon as it is back."""
    if not world.database_is_up:
        world.when_database_is_back(lambda: _insist(world, act))
        return
    async with world.engine.begin() as connection:
        await act(connection, await database_now(connection))


HOW: Mapping[type[object], Callable[[World, Any], Awaitable[None]]] = {
    values.Silence: _silence,
    values.AgentDies: _agent_dies,
    values.Resume: _resume,
    values.Metrics: _metrics,
    values.Reject: _reject,
    values.GlobalStop: _global_stop,
    values.Outage: _outage,
    values.KillOperator: _kill,
    values.StartOperator: _start,
    values.Operators: _operators,
    values.NodeState: _node,
    values.ProxmoxApi: _api,
    values.NextPost: _next_post,
    values.ProxmoxChange: _proxmox,
    values.ConfigChange: _config,
    values.Pause: _pause,
    values.Unpause: _unpause,
    values.ManualReset: _manual_reset,
    values.Clear: _clear,
    values.ClockJump: _jump,
}
