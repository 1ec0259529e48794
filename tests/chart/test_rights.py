"""The operator under the chart's rights and no others: they are enough, and each is needed.

It runs as a process of this machine with a token of the chart's service account, which the API
server judges as it would a pod's.
"""

import copy
from pathlib import Path
from typing import Any

import pytest

from chart.accounts import (
    Right,
    apply,
    kubeconfig_of,
    objects_of_rights,
    rights_of,
    without,
)
from defib_dev.components.kubectl import Kubectl, KubectlError
from operator_process.world import World
from support.helm import Manifest, rendered
from support.waiting import eventually_async

ROLES = {one["metadata"]["name"]: one for one in rendered() if one["kind"] == "Role"}
RIGHTS = [(name, right) for name, role in ROLES.items() for right in rights_of(role)]


def _kubeconfig(kubectl: Kubectl, namespace: str, folder: Path, objects: list[Manifest]) -> Path:
    apply(kubectl, objects)
    return kubeconfig_of(kubectl, "defib-operator", namespace=namespace, folder=folder)


async def test_the_story_is_told_under_the_charts_rights_alone(
    furnished: World, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    world = furnished
    given = _kubeconfig(kubectl, namespace, tmp_path, objects_of_rights(namespace))
    async with world.operator(kubeconfig=given):
        await world.watched("web-0", 100)
        world.change(100, frozen=True, bootSeconds=1)
        await world.health("web-0", "down")
        await world.health("web-0", "healthy")

        async def proven() -> bool:
            return await world.resets(100) == [("auto", "succeeded", True)]

        await eventually_async(proven, what="the recovery is proven", deadline_seconds=30)
        await world.agents.begin(200, "db-0")
        await world.condition("db-0", "Ready", "Monitored", deadline_seconds=30)

        async def told() -> bool:
            return any(
                one["reason"] == "ResetSucceeded" for one in await world.kube.events("web-0")
            )

        await eventually_async(told, what="an Event tells of it", deadline_seconds=30)
        await world.condition("default", "Ready", "Connected", kind="ProxmoxCluster")
        await world.condition("default", "Ready", "InForce", kind="SystemConfig")
    assert world.posts(100) == ["reset"]
    assert "forbidden" not in world.logged.text()
    assert world.logged.lines("error") == []


async def test_an_operator_of_the_whole_cluster_reads_tokens_only_where_it_may(
    furnished: World, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    world = furnished
    wide = {"operator.clusterWide": True, "rbac.secretNamespaces": [namespace]}
    given = _kubeconfig(kubectl, namespace, tmp_path, objects_of_rights(namespace, **wide))
    async with world.operator(kubeconfig=given, cluster_wide=True):
        await world.watched("web-0", 100)
        await world.condition("default", "Ready", "Connected", kind="ProxmoxCluster")
    # Other namespaces hold what other tests left; their Secrets are rightly refused.
    assert f'in the namespace "{namespace}"' not in world.logged.text()
    account = Kubectl(kubectl.program, given)
    with pytest.raises(KubectlError, match='cannot get resource "secrets"'):
        account.run("get", "secret", "proxmox-token", "--namespace", "default")


@pytest.mark.parametrize(("role", "taken"), RIGHTS, ids=str)
async def test_without_a_right_the_operator_names_verb_and_resource(
    furnished: World, kubectl: Kubectl, namespace: str, tmp_path: Path, role: str, taken: Right
) -> None:
    world = furnished
    objects = [
        without(one, taken) if one["metadata"]["name"] == role and one["kind"] == "Role" else one
        for one in copy.deepcopy(objects_of_rights(namespace))
    ]
    given = _kubeconfig(kubectl, namespace, tmp_path, objects)
    world.proxmox.guest(100, "web-0", bootSeconds=1)
    await world.agents._cluster_id()  # committed first: the report's own transaction waits for it
    await world.agents.begin(100, "web-0")
    if taken == Right("get", "virtualmachines"):
        await world.apply_vm("web-0", 101)  # the name is taken: it has to be looked at
    elif taken.verb != "create" or taken.resource == "events":
        await world.apply_vm("web-0", 100)

    async with world.operator(kubeconfig=given, until_listed=False):
        if taken.resource == "events":
            await world.health("web-0", "healthy", deadline_seconds=60)
            world.change(100, frozen=True)  # its going down is worth an Event

        async def named() -> bool:
            return any(_names(line, taken) for line in world.logged.lines())

        await eventually_async(named, what=f"it names {taken}", deadline_seconds=60)

    assert world.logged.lines("error") == []


def _names(line: dict[str, Any], right: Right) -> bool:
    text = str(line.get("error", "")) + str(line.get("trouble", ""))
    asked = f'cannot {right.verb} resource "{right.resource}"'
    return asked in text
