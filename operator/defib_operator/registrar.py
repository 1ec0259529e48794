"""Gives a VirtualMachine to each VM that reports without one, where its SystemConfig allows it.

The object is the user's from then on: its spec, labels and annotations are never written again.
"""

import asyncio
import re
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.config.names import HOSTNAME, HOSTNAME_MAX
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
from defib_operator.watching import Watching

log = structlog.get_logger(__name__)

BATCH = 200
NAME_MAX = 100
"""Leaves room for the cluster's name and the VMID."""
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(minutes=10)


class Registrar:
    """Creates the missing objects. One that cannot be created is tried again ever more rarely."""

    def __init__(self, engine: AsyncEngine, watching: Watching, kubernetes: Kubernetes) -> None:
        self._engine = engine
        self._watching = watching
        self._kubernetes = kubernetes
        self._later: dict[int, tuple[float, timedelta]] = {}

    async def register(self) -> None:
        """Create an object for each VM that lacks one."""
        if not self._watching.knows_everything:
            return  # whether it may is in a SystemConfig that was not read yet
        async with self._engine.connect() as connection:
            found = await projection.unregistered(connection, BATCH + len(self._later))
        now = asyncio.get_running_loop().time()
        lacking = {one.vm_id for one in found}
        self._later = {vm_id: when for vm_id, when in self._later.items() if vm_id in lacking}
        for one in found:
            due, _ = self._later.get(one.vm_id, (now, FIRST_PAUSE))
            if due <= now:
                await self._register(one, now)

    async def _register(self, one: Unregistered, now: float) -> None:
        try:
            name = await self._create(one)
        except KubernetesError as error:
            if error.status is None:
                raise  # it is away: no fault of this VM
            pause = self._put_off(one.vm_id, now)
            log.warning(
                "not_registered", vm=one.vm_id, again_in=pause.total_seconds(), error=str(error)
            )
            return
        if name is not None:
            log.info("registered", vm=one.vm_id, name=name, namespace=one.namespace)

    def _put_off(self, vm_id: int, now: float) -> timedelta:
        _, pause = self._later.get(vm_id, (now, FIRST_PAUSE))
        self._later[vm_id] = (now + pause.total_seconds(), min(pause * 2, LONGEST_PAUSE))
        return pause

    async def _create(self, one: Unregistered) -> str | None:
        """Create the object; None where it is there already, and only not mirrored yet."""
        *proposed, last = names_for(one)
        for name in proposed:
            try:
                await self._kubernetes.create(VIRTUAL_MACHINE, one.namespace, manifest(one, name))
            except KubernetesConflict:
                if await self._is_it(one, name):
                    return None
            else:
                return name
        try:
            await self._kubernetes.create(VIRTUAL_MACHINE, one.namespace, manifest(one, last))
        except KubernetesConflict:
            if await self._is_it(one, last):
                return None
            raise
        return last

    async def _is_it(self, one: Unregistered, name: str) -> bool:
        """True where the name is taken by the object of this very VM."""
        spec = (await self._kubernetes.get(VIRTUAL_MACHINE, one.namespace, name))["spec"]
        cluster = spec.get("clusterRef", {}).get("name", DEFAULT_NAME)
        return bool(spec.get("vmid") == one.vmid and cluster == one.cluster)


def names_for(one: Unregistered) -> tuple[str, ...]:
    """Propose names: the short hostname; where that is taken, with cluster and VMID."""
    short = re.sub(r"[^a-z0-9-]+", "-", one.hostname.split(".", 1)[0].lower())
    base = short[:NAME_MAX].strip("-") or "vm"
    place = f"{one.cluster[:NAME_MAX].strip('.-')}-{one.vmid}"
    first = base if base != "vm" else f"vm-{one.vmid}"
    return first, f"{base}-{place}", f"{base}-{place}-{one.vm_id}"


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
            **({"hostname": one.hostname} if _is_hostname(one.hostname) else {}),
        },
    }


def _is_hostname(text: str) -> bool:
    """True where the resource takes it; a guest may call itself anything."""
    return len(text) <= HOSTNAME_MAX and HOSTNAME.fullmatch(text) is not None
