"""The Kubernetes API as the operator needs it: there, with our definitions, and with our rights.

And through it Proxmox: each ProxmoxCluster is asked with the token that its Secret holds.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from defib_cli.doctor.finding import Finding, Level, Part
from defib_cli.doctor.proxmox import examine_cluster
from defib_core.config.base import SpecModel
from defib_core.config.proxmox_cluster import ProxmoxClusterSpec
from defib_core.config.resources import GROUP, PROXMOX_CLUSTER, VERSION
from defib_core.config.settings import OperatorSettings, SettingsError
from defib_core.config.system_config import SystemConfigSpec
from defib_core.config.virtual_machine import VirtualMachineSpec
from defib_core.store.clusters import Cluster
from defib_operator.clusters import KubernetesClients
from defib_operator.kube import (
    Kubernetes,
    KubernetesError,
    KubernetesNotFound,
    Right,
    connect,
)

KUBERNETES, PROXMOX = Part("kubernetes"), Part("proxmox")
MODELS: Mapping[str, type[SpecModel]] = {
    "VirtualMachine": VirtualMachineSpec,
    "SystemConfig": SystemConfigSpec,
    "ProxmoxCluster": ProxmoxClusterSpec,
}
RIGHTS = (
    *(Right(verb, GROUP, "virtualmachines") for verb in ("get", "list", "watch", "create")),
    *(Right(verb, GROUP, "systemconfigs") for verb in ("list", "watch")),
    *(Right(verb, GROUP, "proxmoxclusters") for verb in ("get", "list", "watch")),
    Right("patch", GROUP, "virtualmachines", "status"),
    Right("patch", GROUP, "systemconfigs", "status"),
    Right("patch", GROUP, "proxmoxclusters", "status"),
    Right("create", "events.k8s.io", "events"),
)
"""What the operator needs; a test holds them to the chart's roles."""
APPLY = "kubectl apply --server-side -f helm/defib/crds/"


async def examine(settings: OperatorSettings) -> list[Finding]:
    """Look at Kubernetes, and through it at every Proxmox cluster."""
    try:
        async with connect(settings.kubeconfig) as kubernetes:
            return await _examine(kubernetes, None if settings.cluster_wide else settings.namespace)
    except SettingsError as error:
        return [KUBERNETES.fail("configuration", str(error), "run it in the operator's pod")]


async def _examine(kubernetes: Kubernetes, namespace: str | None) -> list[Finding]:
    try:
        version = await kubernetes.version()
    except KubernetesError as error:
        advice = "check the kubeconfig's address and certificate, and that the network lets us out"
        return [KUBERNETES.fail("reachable", str(error), advice)]
    found = [KUBERNETES.ok("reachable", f"Kubernetes {version} answers")]
    found += await _definitions(kubernetes)
    found += await _rights(kubernetes, RIGHTS, namespace)
    if all(one.level is not Level.FAIL for one in found):
        found += await _clusters(kubernetes, namespace)
    return found


async def _definitions(kubernetes: Kubernetes) -> list[Finding]:
    try:
        known = await kubernetes.fields_of_specs()
    except KubernetesNotFound:
        message = f"{GROUP}/{VERSION} is not installed"
        return [KUBERNETES.fail("definitions", message, APPLY)]
    except KubernetesError as error:
        return [KUBERNETES.warn("definitions", f"not read: {error}", "see the message")]
    return [_definition(kind, model, known.get(kind)) for kind, model in MODELS.items()]


def _definition(kind: str, model: type[SpecModel], known: frozenset[str] | None) -> Finding:
    check = f"definition of {kind}"
    if known is None:
        return KUBERNETES.fail(check, "it is not installed", APPLY)
    wanted = {field.alias or name for name, field in model.model_fields.items()}
    lacking = sorted(wanted - known)
    if lacking:
        message = f"it is older than this version: spec lacks {', '.join(lacking)}"
        return KUBERNETES.fail(check, message, APPLY)
    return KUBERNETES.ok(check, f"{GROUP}/{VERSION}, as this version needs it")


async def _rights(
    kubernetes: Kubernetes, rights: Sequence[Right], namespace: str | None
) -> list[Finding]:
    where = "in all namespaces" if namespace is None else f"in {namespace}"
    found = []
    for right in rights:
        try:
            allowed = await kubernetes.may(right, namespace)
        except KubernetesError as error:
            return [KUBERNETES.fail("rights", str(error), "see the message")]
        if not allowed:
            advice = f'give the operator\'s role "{right.verb}" on "{_resource(right)}"'
            found.append(KUBERNETES.fail("rights", f"we may not {right} {where}", advice))
    return found or [KUBERNETES.ok("rights", f"all {len(rights)} that the operator needs {where}")]


def _resource(right: Right) -> str:
    part = f"/{right.subresource}" if right.subresource else ""
    return f'{right.resource}{part}" of "{right.group}'


async def _clusters(kubernetes: Kubernetes, namespace: str | None) -> list[Finding]:
    pages = kubernetes.list_pages(PROXMOX_CLUSTER, namespace)
    bodies = [one async for page in pages for one in page]
    if not bodies:
        advice = "apply one: docs/custom-resources.md#proxmoxcluster"
        return [PROXMOX.warn("clusters", "there is no ProxmoxCluster: nothing is reset", advice)]
    clients = KubernetesClients(kubernetes)
    try:
        looks = [
            _cluster(kubernetes, clients, _cluster_of(number, body))
            for number, body in enumerate(bodies)
        ]
        return [one for found in await asyncio.gather(*looks) for one in found]
    finally:
        await clients.close()


async def _cluster(
    kubernetes: Kubernetes, clients: KubernetesClients, cluster: Cluster
) -> list[Finding]:
    secret = (cluster.spec or {}).get("tokenSecretRef", {}).get("name", "")
    right = Right("get", "", "secrets", name=secret)
    if not await kubernetes.may(right, cluster.namespace):
        return [
            PROXMOX.fail(
                f"{cluster.name} token",
                f"we may not {right} in {cluster.namespace}",
                "name the Secret in the chart's rbac.proxmoxSecrets",
            )
        ]
    return await examine_cluster(clients, cluster)


def _cluster_of(number: int, body: Mapping[str, Any]) -> Cluster:
    meta = body["metadata"]
    return Cluster(
        id=number,
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta["generation"],
        spec=body["spec"],
        invalid=None,
    )
