"""The operator outlives what it stands on, and resets nothing because of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from operator_process.kube_api import kubeconfig_through, server_of
from operator_process.world import VM, World
from support.tcp_proxy import TcpProxy, proxy_to
from support.waiting import eventually_async


@asynccontextmanager
async def through_a_proxy(world: World, folder: Path) -> AsyncIterator[TcpProxy]:
    """An operator whose way to the Kubernetes API the test can cut."""
    async with proxy_to(server_of(world.kubeconfig)) as proxy:
        config = kubeconfig_through(world.kubeconfig, proxy.port, folder)
        async with world.operator(kubeconfig=config):
            yield proxy


@pytest.mark.parametrize("cut", ["closed", "frozen"])
async def test_without_the_kubernetes_api_states_move_and_resets_wait(
    empty_world: World, tmp_path: Path, cut: str
) -> None:
    world = empty_world
    await world.furnish(safety={"controlPlaneStaleSeconds": 4})
    async with through_a_proxy(world, tmp_path) as proxy:
        await world.watched("web-0", 100)
        await world.watched("web-1", 101)

        if cut == "closed":
            await proxy.close()
        else:
            proxy.freeze()
        await world.sweeps(3)
        world.change(100, frozen=True, bootSeconds=1)

        await world.held(100, "ControlPlaneStale")
        assert world.posts(100) == []
        assert (await world.status(VM, "web-0"))["health"] == "healthy"
        await world.kube.patch(VM, "web-1", {"spec": {"paused": {"reason": "meanwhile"}}})
        await world.kube.delete(VM, "web-0")
        await world.apply_vm("web-0", 100, labels={"applied": "meanwhile"})

        if cut == "closed":
            await proxy.open()
        else:
            proxy.thaw()

        await world.condition("web-1", "RemediationAllowed", "Paused", deadline_seconds=30)
        await world.health("web-0", "healthy", deadline_seconds=30)
        row = await world.vm_row(100, "v.labels ->> 'applied', v.tombstoned_at")
        assert row == ("meanwhile", None)
        assert world.posts(100) == ["reset"]


async def test_a_short_absence_of_the_kubernetes_api_delays_no_reset(
    empty_world: World, tmp_path: Path
) -> None:
    """The Proxmox token is in a Secret; the one known stays good."""
    world = empty_world
    await world.furnish()
    async with through_a_proxy(world, tmp_path) as proxy:
        await world.watched("web-0", 100)
        await proxy.close()

        world.change(100, frozen=True, bootSeconds=1)

        async def proven() -> bool:
            return await world.resets(100) == [("auto", "succeeded", True)]

        await eventually_async(proven, what="the VM is back", deadline_seconds=20)
        await proxy.open()

        async def caught_up() -> bool:
            return "lastReset" in await world.status(VM, "web-0")

        await eventually_async(caught_up, what="the status catches up", deadline_seconds=20)


@pytest.mark.parametrize("cut", ["closed", "frozen"])
async def test_without_the_database_nothing_happens_and_afterwards_everything(
    empty_world: World, cut: str
) -> None:
    world = empty_world
    await world.furnish()
    async with proxy_to(world.database_url) as proxy:
        through = proxy.in_front_of(world.database_url)
        async with world.operator(database_url=through):
            await world.watched("web-0", 100)

            if cut == "closed":
                await proxy.close()
            else:
                proxy.freeze()

            async def lost() -> bool:
                rows = await world.sql("SELECT expires_at < defib_now() FROM leader_lease")
                return rows == [(True,)]

            await eventually_async(lost, what="the lease runs out", deadline_seconds=15)
            await world.apply_vm("web-1", 101)
            world.change(100, frozen=True, bootSeconds=1)
            if cut == "closed":
                await proxy.open()
            else:
                proxy.thaw()

            await world.is_led_by("operator-1", deadline_seconds=15)
            await world.condition("web-1", "Ready", "Monitored")
            await world.health("web-0", "down", deadline_seconds=15)
            await world.health("web-0", "healthy")
            assert world.posts(100) == ["reset"]


async def test_while_no_report_can_be_stored_nothing_goes_down(world: World) -> None:
    await world.watched("web-0", 100)

    world.agents.is_blind = True

    async def silent_for_long() -> bool:
        row = await world.vm_row(100, "defib_now() - s.last_heartbeat > interval '4 s'")
        return row == (True,)

    await eventually_async(silent_for_long, what="twice its timeout has passed")
    await world.sweeps(2)
    assert await world.vm_row(100, "s.state") == ("healthy",)
    world.agents.is_blind = False
    await world.sweeps(2)
    assert await world.vm_row(100, "s.state") == ("healthy",)
    assert await world.resets(100) == []
