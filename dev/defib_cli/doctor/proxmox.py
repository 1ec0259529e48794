"""One Proxmox cluster: does it answer, is its certificate trusted, what may the token do."""

import asyncio
from datetime import timedelta

from defib_cli.doctor.finding import Finding, Part
from defib_core.store.clusters import Cluster
from defib_operator.clusters import KubernetesClients, Unconnected
from defib_operator.proxmox import (
    Inventory,
    ProxmoxError,
    ProxmoxForbidden,
    ProxmoxUnauthorized,
    TokenRights,
)

PROXMOX = Part("proxmox")
PATIENCE = timedelta(seconds=30)


async def examine_cluster(clients: KubernetesClients, cluster: Cluster) -> list[Finding]:
    """Ask one cluster with the token that its Secret holds. Reads only."""
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            client = await clients.client(cluster)
            inventory = await client.inventory()
            rights = await client.token_rights()
    except (Unconnected, ProxmoxError, TimeoutError) as error:
        return [_trouble(cluster.name, error)]
    return [
        PROXMOX.ok(
            f"{cluster.name} reachable",
            f"Proxmox VE {inventory.version or '(version unknown)'} answers, over TLS we trust",
        ),
        _of_list(cluster.name, inventory),
        _of_quorum(cluster.name, inventory),
        *_of_nodes(cluster.name, inventory),
        *_of_rights(cluster.name, rights),
    ]


def _trouble(name: str, error: Unconnected | ProxmoxError | TimeoutError) -> Finding:
    text = str(error) or "no answer in time"
    match error:
        case Unconnected():
            return PROXMOX.fail(f"{name} token", text, "create the Secret, or mend the spec")
        case ProxmoxUnauthorized() | ProxmoxForbidden():
            advice = "put a token that is valid into the Secret; see docs/proxmox.md"
            return PROXMOX.fail(f"{name} token", text, advice)
        case _:
            advice = (
                "check spec.endpoints, the network, and spec.caBundle"
                " (/etc/pve/pve-root-ca.pem of a node)"
            )
            return PROXMOX.fail(f"{name} reachable", text, advice)


def _of_list(name: str, inventory: Inventory) -> Finding:
    if inventory.empty_is_suspicious:
        advice = "grant VM.Audit on /vms, or on a pool"
        return PROXMOX.warn(f"{name} VMs", "it lists none: the token probably sees none", advice)
    return PROXMOX.ok(f"{name} VMs", f"it lists {len(inventory.vms)}")


def _of_quorum(name: str, inventory: Inventory) -> Finding:
    if inventory.quorate:
        return PROXMOX.ok(f"{name} quorum", "it is quorate")
    if inventory.quorate is None:
        why = inventory.unreadable.get("quorate", "Proxmox does not say")
        return PROXMOX.warn(f"{name} quorum", why, "grant Sys.Audit on /")
    advice = "bring its nodes back together; VMs cannot be started meanwhile"
    return PROXMOX.fail(f"{name} quorum", "it has no quorum", advice)


def _of_nodes(name: str, inventory: Inventory) -> list[Finding]:
    away = sorted(node for node, online in inventory.nodes.items() if online is not True)
    if not away:
        return [PROXMOX.ok(f"{name} nodes", f"all {len(inventory.nodes)} are online")]
    message = f"not online: {', '.join(away)}"
    return [PROXMOX.warn(f"{name} nodes", message, "nothing is reset on them meanwhile")]


def _of_rights(name: str, rights: TokenRights) -> list[Finding]:
    if not rights.missing:
        return [PROXMOX.ok(f"{name} rights", "the token may do all that is needed")]
    advice = "docs/proxmox.md has the commands"
    return [PROXMOX.fail(f"{name} rights", lack, advice) for lack in rights.missing]
