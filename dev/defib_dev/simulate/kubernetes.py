"""The Kubernetes API of a scenario: specs that people change, and an operator that hears of them.

A change reaches PostgreSQL, through production's mirror, once the API answers and a replica leads.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.config.base import InvalidSpec
from defib_core.config.resources import DEFAULT_NAME, Resource
from defib_core.config.system_config import SystemConfigSpec, parse_system_config
from defib_core.domain.policy import DEFAULT_STEPS
from defib_core.store import mirror
from defib_core.store.mirror import ObjectKey, VmObject
from defib_core.store.mirror_many import mirror_ordinary
from defib_dev.simulate.scenario import Scenario, Vm
from defib_dev.simulate.specs import merged
from defib_dev.simulate.virtual_time import START
from defib_operator.kube import KubernetesError

NAMESPACE = "default"
ENDPOINT = "https://simulated.invalid:8006"
CLUSTER_SPEC: Mapping[str, Any] = {
    "endpoints": [ENDPOINT],
    "tokenSecretRef": {"name": "simulated"},
}
CREATED_AT = START - timedelta(days=1)
IDS = text("SELECT id, name FROM vm")

Mirror = Callable[[AsyncConnection, datetime], Awaitable[object]]
"""Takes one object in, at the given time of the database."""


class KubernetesApi:
    """Objects and their specs. `waiting` are those whose change nobody has heard of yet."""

    def __init__(self, scenario: Scenario) -> None:
        self.is_up = True
        self.waiting: dict[str, Mirror] = {}
        self._generation = 1
        self._config = _written(scenario.config)
        self.config = scenario.config
        """The last SystemConfig that was valid."""
        self.in_force = scenario.config
        """The last that the operator has heard of."""
        self.paused: Mapping[str, datetime | None] = {}
        """The pauses that the operator has heard of, and until when they last."""
        self._pauses: dict[str, tuple[str, datetime | None]] = {}

    async def mirror_all(
        self, scenario: Scenario, connection: AsyncConnection, now: datetime
    ) -> dict[str, int]:
        """Take in every object, as before the scenario; return each VM's id."""
        await mirror.mirror_cluster(connection, self._key(DEFAULT_NAME), CLUSTER_SPEC, None)
        await mirror.mirror_config(connection, self._key(DEFAULT_NAME), scenario.config, now)
        given = [self._object(vm) for vm in scenario.fleet]
        taken = await mirror_ordinary(connection, given, now)
        assert len(taken.put) == len(given), taken
        ids = {row.name: int(row.id) for row in await connection.execute(IDS)}
        return {vm.name: ids[vm.name] for vm in scenario.fleet}

    def change_config(self, fields: Mapping[str, Any]) -> None:
        """Change the SystemConfig. One that is refused as dangerous changes nothing in force."""
        wanted = merged(self._config, fields)
        self._generation += 1
        key = self._key(DEFAULT_NAME)
        try:
            spec = parse_system_config(wanted)
        except InvalidSpec as error:
            why = str(error)
            self.waiting["SystemConfig"] = lambda connection, _: mirror.mirror_invalid_config(
                connection, key, why
            )
            return
        self._config, self.config = wanted, spec
        self.waiting["SystemConfig"] = lambda connection, now: mirror.mirror_config(
            connection, key, spec, now
        )

    def pause(self, vm: Vm, reason: str, until: datetime | None) -> None:
        """Set `spec.paused` of a VM."""
        self._pauses[vm.name] = (reason, until)
        self._touch(vm)

    def unpause(self, vm: Vm) -> None:
        """Take `spec.paused` away."""
        self._pauses.pop(vm.name, None)
        self._touch(vm)

    async def deliver(self, connection: AsyncConnection, now: datetime) -> None:
        """Let the operator hear of what has changed."""
        for take in self.waiting.values():
            await take(connection, now)
        self.waiting.clear()
        self.in_force = self.config
        self.paused = {name: until for name, (_, until) in self._pauses.items()}

    async def patch_status(
        self,
        resource: Resource,
        namespace: str,  # noqa: ARG002 - production's
        name: str,
        status: Mapping[str, Any],  # noqa: ARG002 - production's
        uid: str,  # noqa: ARG002 - production's
    ) -> None:
        """Take a status; nobody reads it here."""
        self._answer(f"patch the status of {resource.kind} {name}")

    async def get(self, resource: Resource, namespace: str, name: str) -> Mapping[str, Any]:
        """Give an object, without the status that nobody keeps here."""
        self._answer(f"get {resource.kind} {namespace}/{name}")
        return {"metadata": {"uid": self._key(name).uid}}

    def _answer(self, what: str) -> None:
        if not self.is_up:
            raise KubernetesError(what, None, "connection refused")

    def _touch(self, vm: Vm) -> None:
        self._generation += 1
        wanted = self._object(vm)
        self.waiting[vm.name] = lambda connection, now: mirror.mirror_vm(connection, wanted, now)

    def _object(self, vm: Vm) -> VmObject:
        reason, until = self._pauses.get(vm.name, (None, None))
        return VmObject(
            key=self._key(vm.name),
            cluster=DEFAULT_NAME,
            config=DEFAULT_NAME,
            vmid=vm.vmid,
            hostname=vm.name,
            proxmox_name=None,
            stale_timeout=None,
            cpu_threshold=None,
            ram_threshold=None,
            max_attempts=None,
            enabled=True,
            steps=tuple(step.value for step in DEFAULT_STEPS),
            paused_reason=reason,
            paused_until=until,
            labels={},
        )

    def _key(self, name: str) -> ObjectKey:
        return ObjectKey(NAMESPACE, name, f"uid-of-{name}", self._generation, CREATED_AT)


def _written(spec: SystemConfigSpec) -> Mapping[str, object]:
    return dict(spec.model_dump(mode="json", by_alias=True, exclude_unset=True))
