"""The operator's metrics over a whole story."""

from datetime import timedelta

import pytest

from defib_dev.components.ports import free_port
from operator_process.world import World
from support.scrape import Scrape, scrape
from support.waiting import eventually_async

DEADLINE = 60


async def test_a_reset_and_its_recovery_show_in_the_metrics(
    empty_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("defib_operator.figuring.EVERY", timedelta(milliseconds=200))
    world, port = empty_world, free_port()
    await world.furnish()
    async with world.operator(metrics_port=port, metrics_host="127.0.0.1"):
        await world.watched("web-0", 100)

        async def leads() -> bool:
            found = await scrape(port)
            return found.value("defib_leader") == 1 and bool(found.found("defib_vms"))

        await eventually_async(leads, what="it shows that it leads", deadline_seconds=DEADLINE)
        world.change(100, frozen=True, bootSeconds=1)
        found = Scrape([], {})

        async def recovered() -> bool:
            nonlocal found
            found = await scrape(port)
            # The heartbeat may be seen before the end of Proxmox's task, or after it.
            ended = found.value("defib_resets_total", source="auto", outcome="succeeded")
            return (found.value("defib_recovery_seconds_count"), ended) == (1, 1)

        await eventually_async(recovered, what="the recovery shows", deadline_seconds=DEADLINE)
        assert found.value("defib_transitions_total", to_state="down") == 1
        assert found.value("defib_proxmox_call_duration_seconds_count", call="reset") == 1
        assert found.value("defib_proxmox_call_duration_seconds_count", call="inventory") > 0
        assert found.value("defib_sweep_duration_seconds_count") > 0
        assert found.value("defib_sweep_age_seconds") < DEADLINE
        assert found.value("defib_kubernetes_age_seconds") < DEADLINE
        assert found.value("defib_proxmox_reachable") == 1
        assert found.value("defib_vms") == 1
