"""The doctor on a real API server and the simulated Proxmox, with one thing broken at a time."""

from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from chart.accounts import (
    Right,
    apply,
    kubeconfig_of,
    objects_of_rights,
    rights_of,
    without,
)
from defib_cli.doctor import kubernetes
from defib_cli.doctor.finding import Finding, Level
from defib_core.config.settings import OperatorSettings
from defib_core.config.virtual_machine import VirtualMachineSpec
from defib_dev.components.certificates import Authority
from defib_dev.components.kubectl import Kubectl
from defib_dev.components.ports import free_port
from defib_dev.proxmox_sim.access import ALL_PRIVILEGES
from operator_process.world import TOKEN_SECRET_NAME, World
from support.helm import rendered
from support.proxmox import TOKEN_ID


async def looked_at(world: World, kubeconfig: Path | None = None) -> list[Finding]:
    settings = OperatorSettings(
        database_url=SecretStr(world.database_url),
        namespace=world.namespace,
        kubeconfig=kubeconfig or world.kubeconfig,
    )
    return await kubernetes.examine(settings)


def not_ok(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(one.part, one.check) for one in findings if one.level is not Level.OK]


def test_the_rights_looked_for_are_those_of_the_charts_role() -> None:
    (role,) = [
        one
        for one in rendered()
        if one["kind"] == "Role" and one["metadata"]["name"] == "defib-operator"
    ]
    given = {str(right) for right in rights_of(role)}
    looked_for = {
        f"{one.verb} {one.resource}{'/' + one.subresource if one.subresource else ''}"
        for one in kubernetes.RIGHTS
    }
    assert looked_for == given


async def test_the_charts_rights_are_enough_for_the_doctor(
    empty_world: World, kubectl: Kubectl, tmp_path: Path
) -> None:
    world = empty_world
    await world.furnish()
    world.proxmox.guest(100, "web-0")
    apply(kubectl, objects_of_rights(world.namespace))
    account = kubeconfig_of(kubectl, "defib-operator", namespace=world.namespace, folder=tmp_path)
    found = await looked_at(world, account)
    assert not_ok(found) == []
    assert "default rights" in {one.check for one in found}


async def test_a_missing_right_is_named_with_verb_and_resource(
    empty_world: World, kubectl: Kubectl, tmp_path: Path
) -> None:
    world = empty_world
    taken = Right("patch", "systemconfigs/status")
    objects = [
        without(one, taken) if one["kind"] == "Role" else one
        for one in objects_of_rights(world.namespace)
    ]
    apply(kubectl, objects)
    account = kubeconfig_of(kubectl, "defib-operator", namespace=world.namespace, folder=tmp_path)
    (lacking,) = [one for one in await looked_at(world, account) if one.level is Level.FAIL]
    assert (
        f"we may not patch systemconfigs/status.defib.dev in {world.namespace}" in lacking.message
    )
    assert '"patch" on "systemconfigs/status" of "defib.dev"' in lacking.advice


async def test_a_secret_that_may_not_be_read_is_named(
    empty_world: World, kubectl: Kubectl, tmp_path: Path
) -> None:
    world = empty_world
    await world.furnish()
    others = {"rbac.proxmoxSecrets": ["another"]}
    apply(kubectl, objects_of_rights(world.namespace, **others))
    account = kubeconfig_of(kubectl, "defib-operator", namespace=world.namespace, folder=tmp_path)
    (lacking,) = [one for one in await looked_at(world, account) if one.level is Level.FAIL]
    assert f"we may not get secrets {TOKEN_SECRET_NAME}" in lacking.message
    assert "rbac.proxmoxSecrets" in lacking.advice


async def test_an_unknown_token_of_kubernetes_is_refused_in_words(
    empty_world: World, tmp_path: Path
) -> None:
    config = yaml.safe_load(empty_world.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "wrong"}
    file = tmp_path / "wrong"
    file.write_text(yaml.safe_dump(config))
    (found,) = await looked_at(empty_world, file)
    assert found.level is Level.FAIL
    assert "401" in found.message


def test_definitions_that_are_missing_or_old_are_named() -> None:
    missing = kubernetes._definition("VirtualMachine", VirtualMachineSpec, None)
    old = kubernetes._definition("VirtualMachine", VirtualMachineSpec, frozenset({"vmid"}))
    assert (missing.level, old.level) == (Level.FAIL, Level.FAIL)
    assert "spec lacks clusterRef, configRef" in old.message
    assert "kubectl apply --server-side" in old.advice


async def test_no_cluster_is_a_warning(empty_world: World) -> None:
    assert not_ok(await looked_at(empty_world)) == [("proxmox", "clusters")]


async def test_a_cluster_without_its_secret(empty_world: World) -> None:
    await empty_world.apply_cluster()
    (found,) = [one for one in await looked_at(empty_world) if one.level is Level.FAIL]
    assert found.check == "default token"
    assert "there is no Secret" in found.message


async def test_a_cluster_that_refuses_the_token(empty_world: World) -> None:
    world = empty_world
    await world.furnish()
    await world.kube.put_secret(
        TOKEN_SECRET_NAME,
        {"tokenId": TOKEN_ID, "tokenSecret": "9a1a9c3e-0000-4f6c-8f5e-1f1e6c1d2b77"},
    )
    (found,) = [one for one in await looked_at(world) if one.level is Level.FAIL]
    assert found.check == "default token"
    assert "401" in found.message


async def test_a_cluster_that_is_not_there(empty_world: World) -> None:
    world = empty_world
    await world.furnish()
    await world.apply_cluster(endpoints=[f"https://127.0.0.1:{free_port()}"])
    (found,) = [one for one in await looked_at(world) if one.level is Level.FAIL]
    assert (found.part, found.check) == ("proxmox", "default reachable")


async def test_a_cluster_whose_certificate_is_not_trusted(
    empty_world: World, tmp_path: Path
) -> None:
    world = empty_world
    await world.furnish()
    await world.apply_cluster(caBundle=Authority.ensure(tmp_path / "other").pem)
    (found,) = [one for one in await looked_at(world) if one.level is Level.FAIL]
    assert "certificate" in found.message.lower()
    assert "caBundle" in found.advice


async def test_a_right_that_the_token_lacks(empty_world: World) -> None:
    world = empty_world
    await world.furnish()
    world.proxmox.guest(100, "web-0")
    world.proxmox.dc.access.grant("/", TOKEN_ID, ALL_PRIVILEGES - {"VM.PowerMgmt"})
    (found,) = [one for one in await looked_at(world) if one.level is Level.FAIL]
    assert found.check == "default rights"
    assert "grant VM.PowerMgmt" in found.message


@pytest.mark.parametrize("kubeconfig", ["nowhere", "empty"])
async def test_a_kubeconfig_that_is_none(
    empty_world: World, tmp_path: Path, kubeconfig: str
) -> None:
    file = tmp_path / kubeconfig
    if kubeconfig == "empty":
        file.write_text("")
    (found,) = await looked_at(empty_world, file)
    assert found.level is Level.FAIL
    assert str(file) in found.message
