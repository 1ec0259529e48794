"""Gives a VirtualMachine to each VM that reports without one, where its SystemConfig allows it.

The object is the user's from then on: its spec, labels and annotations are never written again.
"""

import re
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.config.resources import (
    API_VERSION,
    DEFAULT_NAME,
    REGISTERED_BY_AGENT,
    REGISTERED_BY_LABEL,
    VIRTUAL_MACHINE,
)
from defib_core.store import projection
from defib_core.store.projection import Unregistered
from defib_operator.kube import Kubernetes, KubernetesConflict, KubernetesError
from defib_operator.leadership import Leadership

log = structlog.get_logger(__name__)

BATCH = 200
NAME_MAX = 200


class Registrar:
    """Creates the missing objects."""

    def __init__(self, engine: AsyncEngine, leadership: Leadership, kubernetes: Kubernetes) -> None:
        self._engine = engine
        self._leadership = leadership
        self._kubernetes = kubernetes

    async def register(self) -> None:
        """Create an object for each VM that lacks one."""
        if not self._leadership.leads:
            return
        async with self._engine.connect() as connection:
            found = await projection.unregistered(connection, BATCH)
        for one in found:
            await self._create(one)

    async def _create(self, one: Unregistered) -> None:
        for name in names_for(one):
            try:
                await self._kubernetes.create(VIRTUAL_MACHINE, one.namespace, manifest(one, name))
            except KubernetesConflict:
                if await self._is_it(one, name):
                    return
                continue
            except KubernetesError as error:
                log.warning("not_registered", vm=one.vm_id, error=str(error))
                return
            log.info("registered", vm=one.vm_id, name=name, namespace=one.namespace)
            return

    async def _is_it(self, one: Unregistered, name: str) -> bool:
        """True where the name is taken by the object of this very VM, not mirrored yet."""
        try:
            spec = (await self._kubernetes.get(VIRTUAL_MACHINE, one.namespace, name))["spec"]
        except KubernetesError:
            return True
        cluster = spec.get("clusterRef", {}).get("name", DEFAULT_NAME)
        return bool(spec.get("vmid") == one.vmid and cluster == one.cluster)


def names_for(one: Unregistered) -> tuple[str, str]:
    """Propose names: the short hostname; where that is taken, with cluster and VMID."""
    short = re.sub(r"[^a-z0-9-]+", "-", one.hostname.split(".", 1)[0].lower()).strip("-")
    base = short[:NAME_MAX].strip("-") or "vm"
    return base, f"{base}-{one.cluster}-{one.vmid}"


def manifest(one: Unregistered, name: str) -> dict[str, Any]:
    """The object as a person might have written it."""
    return {
        "apiVersion": API_VERSION,
        "kind": VIRTUAL_MACHINE.kind,
        "metadata": {
            "name": name,
            "namespace": one.namespace,
            "labels": {REGISTERED_BY_LABEL: REGISTERED_BY_AGENT},
        },
        "spec": {
            "vmid": one.vmid,
            "clusterRef": {"name": one.cluster},
            **({"hostname": one.hostname} if one.hostname else {}),
        },
    }
