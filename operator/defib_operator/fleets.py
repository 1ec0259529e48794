"""Keeps the number of VMs in the status of each SystemConfig right. Writes nothing else there."""

from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.config.resources import SYSTEM_CONFIG
from defib_core.store import projection
from defib_core.store.projection import Fleet
from defib_operator.kube import Kubernetes, KubernetesNotFound
from defib_operator.leadership import Leadership


@dataclass(slots=True)
class Fleets:
    """The numbers as they were last written, by the object's uid."""

    engine: AsyncEngine
    kubernetes: Kubernetes
    leadership: Leadership
    _written: dict[str, int] = field(default_factory=dict)

    async def count(self) -> None:
        """Write each number that has changed."""
        if not self.leadership.leads:
            self._written.clear()  # another leader may write others
            return
        async with self.engine.connect() as connection:
            found = await projection.fleets(connection)
        for fleet in found:
            if self._written.get(fleet.uid) != fleet.vms:
                await self._write(fleet)

    async def _write(self, fleet: Fleet) -> None:
        try:
            await self.kubernetes.patch_status(
                SYSTEM_CONFIG, fleet.namespace, fleet.name, {"vms": fleet.vms}, fleet.uid
            )
        except KubernetesNotFound:
            return
        self._written[fleet.uid] = fleet.vms
