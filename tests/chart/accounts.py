"""The chart's service accounts on a real API server, and kubeconfigs of theirs."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from defib_dev.components.kubectl import Kubectl
from support.helm import Manifest, rendered

OF_RIGHTS = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource, as RBAC counts them."""

    verb: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


def rights_of(role: Manifest) -> list[Right]:
    """Every single right that a role gives."""
    return [
        Right(verb, resource)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def without(role: Manifest, taken: Right) -> Manifest:
    """The role with one right taken out."""
    rules: list[dict[str, Any]] = []
    for rule in role["rules"]:
        for resource in rule["resources"]:
            verbs = [verb for verb in rule["verbs"] if Right(verb, resource) != taken]
            if verbs:
                rules.append({**copy.deepcopy(rule), "resources": [resource], "verbs": verbs})
    return {**role, "rules": rules}


def objects_of_rights(namespace: str, **values: object) -> list[Manifest]:
    """The service accounts, roles and bindings that the chart makes in a namespace."""
    objects = rendered(values, namespace=namespace)
    return [one for one in objects if one["kind"] in OF_RIGHTS]


def apply(kubectl: Kubectl, objects: list[Manifest]) -> None:
    """Apply them; a role that lost a right loses it on the server too."""
    kubectl.apply(yaml.safe_dump_all(objects))


def kubeconfig_of(kubectl: Kubectl, account: str, *, namespace: str, folder: Path) -> Path:
    """A kubeconfig with nothing but a token of the account, from a real token request."""
    token = kubectl.run(
        "create", "token", account, "--namespace", namespace, "--duration=1h"
    ).strip()
    config = yaml.safe_load(kubectl.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    file = folder / f"{namespace}-{account}.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    file.chmod(0o600)
    return file
