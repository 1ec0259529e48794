"""Who may ask for a reset by annotation: the chart's policy, judged by the real API server."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest
import yaml

from defib_dev.components.kubectl import Kubectl, KubectlError
from support.control_plane import TestControlPlane
from support.helm import Manifest, rendered
from support.waiting import eventually

NOW = "2026-01-31T12:00:00Z"
POLICIES = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may edit VirtualMachines, and perhaps more."""

    kubectl: Kubectl
    namespace: str
    name: str

    def annotate(self, vm: str, **annotations: str) -> str:
        """Set annotations of a VM as this person."""
        pairs = [f"defib.dev/{name.replace('_', '-')}={text}" for name, text in annotations.items()]
        return self.kubectl.run(
            *("annotate", "dvm", vm, "--overwrite", "--namespace", self.namespace, *pairs),
            *("--as", self.name),
        )

    def apply(self, manifest: Manifest) -> str:
        """Apply an object as this person."""
        where = ("--namespace", self.namespace, "--as", self.name)
        return self.kubectl.run(
            "apply", "--server-side", *where, "--filename=-", stdin=yaml.safe_dump(manifest)
        )


def vm(name: str, vmid: int, **annotations: str) -> Manifest:
    return {
        "apiVersion": "defib.dev/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"vmid": vmid},
    }


def objects_of(namespace: str) -> list[Manifest]:
    values = {"admissionPolicy.enabled": True, "rbac.people": True}
    return [
        one
        for one in rendered(values, namespace=namespace)
        if one["kind"] in POLICIES or one["metadata"]["name"].startswith(f"{namespace}-defib-")
    ]


@pytest.fixture(scope="module")
def guarded(control_plane: TestControlPlane) -> Iterator[str]:
    """A namespace with the policy and the people's roles; edit for all, reset for ruth."""
    kubectl, namespace = control_plane.kubectl, control_plane.new_namespace("guarded")
    objects = objects_of(namespace)
    kubectl.apply(yaml.safe_dump_all(objects))
    for role, people in (
        ("view", ["ed", "ruth"]),
        ("edit", ["ed", "ruth"]),
        ("reset", ["ruth"]),
    ):
        kubectl.run(
            *("create", "rolebinding", role, "--namespace", namespace),
            *(f"--clusterrole={namespace}-defib-{role}", *(f"--user={one}" for one in people)),
        )
    kubectl.apply(yaml.safe_dump(vm("web-0", 100)), namespace=namespace)
    ed = Person(kubectl, namespace, "ed")

    asked = count()

    def is_in_force() -> bool:
        try:
            # Each time another one: what an earlier try left there is no change, and is let pass.
            ed.annotate("web-0", reset_requested=f"2026-01-30T12:00:00.{next(asked):06}Z")
        except KubectlError as error:
            return "you may not ask for a reset" in str(error)
        return False

    eventually(is_in_force, what="the policy is in force", deadline_seconds=60)
    yield namespace
    for one in objects:
        kubectl.run("delete", one["kind"], one["metadata"]["name"], "--ignore-not-found")


@pytest.fixture
def ed(kubectl: Kubectl, guarded: str) -> Person:
    """May edit."""
    return Person(kubectl, guarded, "ed")


@pytest.fixture
def ruth(kubectl: Kubectl, guarded: str) -> Person:
    """May edit and reset."""
    return Person(kubectl, guarded, "ruth")


def test_who_may_only_edit_asks_for_nothing(ed: Person) -> None:
    ed.apply(vm("db-0", 101))
    with pytest.raises(
        KubectlError, match="you may not ask for a reset of db-0: it takes the verb"
    ):
        ed.annotate("db-0", reset_requested="2026-01-31T12:00:01Z")
    with pytest.raises(KubectlError, match="you may not clear the attempts of db-0"):
        ed.annotate("db-0", clear_requested="2026-01-31T12:00:01Z")
    with pytest.raises(KubectlError, match="you may not ask for a reset of db-1"):
        ed.apply(vm("db-1", 102, **{"defib.dev/reset-requested": NOW}))


def test_who_may_reset_does_and_others_go_on_editing(ed: Person, ruth: Person) -> None:
    ed.apply(vm("app-0", 103))
    ruth.annotate("app-0", reset_requested=NOW, reset_reason="Ruth: hangs", clear_requested=NOW)
    assert "labeled" in ed.kubectl.run(
        *("label", "dvm", "app-0", "team=shop", "--namespace", ed.namespace, "--as", "ed")
    )
    ed.annotate("app-0", reset_reason="Ed: nothing is asked for by this")


def test_a_forced_reset_takes_a_right_of_its_own(ed: Person, ruth: Person) -> None:
    ed.apply(vm("app-1", 104))
    with pytest.raises(KubectlError, match="you may not force a reset of app-1"):
        ruth.annotate("app-1", reset_requested=NOW, reset_force="true")


def test_what_is_no_time_is_refused(ed: Person, ruth: Person) -> None:
    ed.apply(vm("app-2", 105))
    for word in ("now", "2026-01-31", "2026-01-31T12:00:00"):
        with pytest.raises(KubectlError, match="must be the time now, as RFC 3339"):
            ruth.annotate("app-2", reset_requested=word)


def test_an_administrator_may_everything(kubectl: Kubectl, ed: Person) -> None:
    ed.apply(vm("app-3", 106))
    marks = {"defib.dev/reset-requested": NOW, "defib.dev/reset-force": "true"}
    patch = json.dumps({"metadata": {"annotations": marks}})
    kubectl.run("patch", "dvm", "app-3", "--namespace", ed.namespace, "--type=merge", "-p", patch)


def test_other_namespaces_are_left_alone(control_plane: TestControlPlane, guarded: str) -> None:
    other = control_plane.new_namespace("unguarded")
    objects = objects_of(guarded)
    (binding,) = [one for one in objects if one["kind"].endswith("Binding")]
    chosen = binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"]
    assert chosen == {"kubernetes.io/metadata.name": guarded}
    kubectl = control_plane.kubectl
    kubectl.apply(yaml.safe_dump(vm("web-0", 100)), namespace=other)
    marks = {"metadata": {"annotations": {"defib.dev/reset-requested": "soon"}}}
    kubectl.run(
        *("patch", "dvm", "web-0", "--namespace", other, "--type=merge", "-p", json.dumps(marks))
    )
