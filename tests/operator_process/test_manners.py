"""The operator writes statuses, and nothing else of what people own."""

from typing import Any

from operator_process.kube_api import MANAGER
from operator_process.world import CLUSTER, CONFIG, VM, World
from support.waiting import eventually_async

OURS = "defib-operator"


async def snapshot(world: World) -> dict[str, dict[str, Any]]:
    """Everything of every object except its status."""
    found = {}
    for kind in (VM, CONFIG, CLUSTER):
        for one in await world.kube.every(kind):
            meta = one["metadata"]
            found[f"{kind}/{meta['name']}"] = {
                "spec": one["spec"],
                "generation": meta["generation"],
                "labels": meta.get("labels"),
                "annotations": meta.get("annotations"),
                "finalizers": meta.get("finalizers"),
                "ownerReferences": meta.get("ownerReferences"),
                "managed": [row for row in meta["managedFields"] if row["manager"] == MANAGER],
            }
    return found


async def test_nothing_but_the_status_of_somebodys_objects_is_written(world: World) -> None:
    world.proxmox.guest(100, "web-0")
    await world.apply_vm("web-0", 100, labels={"team": "storage"}, proxmoxName="web-0")
    await world.kube.patch(
        VM,
        "web-0",
        {
            "metadata": {
                "annotations": {"example.com/note": "mine"},
                "finalizers": ["example.com/backup"],
            }
        },
    )
    before = await snapshot(world)

    await world.agents.begin(100, "web-0")
    await world.health("web-0", "healthy")
    world.change(100, frozen=True, bootSeconds=1)
    await world.health("web-0", "down")
    await world.health("web-0", "healthy")

    assert await snapshot(world) == before
    for kind in (VM, CONFIG, CLUSTER):
        for one in await world.kube.every(kind):
            others = [row for row in one["metadata"]["managedFields"] if row["manager"] != MANAGER]
            assert [(row["manager"], row.get("subresource")) for row in others] == [
                (OURS, "status")
            ]
    await world.kube.patch(VM, "web-0", {"metadata": {"finalizers": None}})


async def test_an_object_registered_for_an_agent_is_left_alone_afterwards(world: World) -> None:
    await world.agents.begin(100, "web-0")
    await world.health("web-0", "healthy")
    before = await snapshot(world)

    world.agents.known[100].cpu = 95
    await world.health("web-0", "warning")

    assert await snapshot(world) == before


async def test_heartbeats_alone_write_nothing_to_the_api(world: World) -> None:
    await world.watched("web-0", 100)

    async def is_settled() -> bool:
        queued = await world.sql("SELECT count(*) FROM status_outbox")
        return queued == [(0,)] and "node" in await world.status(VM, "web-0")

    await eventually_async(is_settled, what="all is written")
    found = await world.kube.get(VM, "web-0")
    assert found is not None
    row = await world.vm_row(100, "s.reports")
    assert row is not None

    async def many_more() -> bool:
        now = await world.vm_row(100, "s.reports")
        return now is not None and now[0] > row[0] + 8

    await eventually_async(many_more, what="many heartbeats come")
    again = await world.kube.get(VM, "web-0")
    assert again is not None
    assert again["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]
