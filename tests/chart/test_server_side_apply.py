"""Whoever applies an object owns its spec; the operator owns its status, and fights nobody."""

import json
from typing import Any

import pytest
import yaml

from defib_dev.components.kubectl import Kubectl, KubectlError
from operator_process.world import World

MANIFEST = {
    "apiVersion": "defib.dev/v1alpha1",
    "kind": "VirtualMachine",
    "metadata": {"name": "web-0", "labels": {"team": "shop"}},
    "spec": {"vmid": 100, "remediation": {"maxAttempts": 2}},
}


def apply(kubectl: Kubectl, manifest: dict[str, Any], namespace: str, manager: str) -> str:
    """Apply server-side, without force: a conflict is an error."""
    return kubectl.run(
        *("apply", "--server-side", f"--field-manager={manager}", "--namespace", namespace),
        *("--filename=-",),
        stdin=yaml.safe_dump(manifest),
    )


def owned(kubectl: Kubectl, namespace: str) -> dict[str, set[str]]:
    """Who owns which parts of the object."""
    found = json.loads(
        kubectl.run(
            *("get", "dvm", "web-0", "--namespace", namespace, "-o", "json"),
            "--show-managed-fields",
        )
    )
    return {
        one["manager"]: {name.removeprefix("f:") for name in one["fieldsV1"]}
        for one in found["metadata"]["managedFields"]
    }


async def test_git_owns_the_spec_and_the_operator_the_status(
    furnished: World, kubectl: Kubectl
) -> None:
    world, namespace = furnished, furnished.namespace
    apply(kubectl, MANIFEST, namespace, "git")
    async with world.operator():
        await world.condition("web-0", "Ready", "Monitored")
        assert owned(kubectl, namespace) == {
            "git": {"metadata", "spec"},
            "defib-operator": {"status"},
        }
        changed = {**MANIFEST, "spec": {"vmid": 100, "remediation": {"maxAttempts": 5}}}
        for manifest in (changed, changed, MANIFEST):
            assert "serverside-applied" in apply(kubectl, manifest, namespace, "git")
        row = await world.vm_row(100, "max_attempts_override")
        assert row is not None
        with pytest.raises(KubectlError, match=r'conflict with "git"'):
            apply(kubectl, changed, namespace, "somebody-else")
        assert set(owned(kubectl, namespace)) == {"git", "defib-operator"}


async def test_an_object_that_registered_itself_can_be_taken_over_by_git(
    furnished: World, kubectl: Kubectl
) -> None:
    world, namespace = furnished, furnished.namespace
    async with world.operator():
        world.proxmox.guest(100, "web-0", bootSeconds=1)
        await world.agents.begin(100, "web-0")
        await world.condition("web-0", "Ready", "Monitored", deadline_seconds=60)
        spec = {"vmid": 100, "remediation": {"maxAttempts": 1}}
        assert "serverside-applied" in apply(kubectl, {**MANIFEST, "spec": spec}, namespace, "git")
        found = owned(kubectl, namespace)
    assert "spec" in found["git"]
