"""The Proxmox clusters of this operator: a client each, made anew when spec or Secret change.

Keeps the last inventory of each, and writes what was seen into PostgreSQL and into the status of
the ProxmoxCluster. Judges no VM.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from defib_core.config.base import InvalidSpec
from defib_core.config.proxmox_cluster import ProxmoxClusterSpec, parse_proxmox_cluster
from defib_core.store.clusters import Cluster
from defib_operator.kube import Kubernetes, KubernetesError
from defib_operator.proxmox import (
    Inventory,
    ProxmoxClient,
    ProxmoxError,
    ProxmoxMisconfigured,
    ProxmoxSettings,
)

log = structlog.get_logger(__name__)


class Unconnected(Exception):
    """A cluster cannot be asked at all; the text says what is missing."""


class Clients(Protocol):
    """Gives the client of a cluster. The policy simulator gives its own."""

    async def client(self, cluster: Cluster) -> ProxmoxClient:
        """Connect, or raise Unconnected."""
        ...


@dataclass(slots=True)
class _Connected:
    made_of: tuple[object, ...]
    client: ProxmoxClient


@dataclass(slots=True)
class KubernetesClients:
    """Clients made from ProxmoxCluster objects and the Secrets they name."""

    kubernetes: Kubernetes
    _connected: dict[int, _Connected] = field(default_factory=dict)

    async def client(self, cluster: Cluster) -> ProxmoxClient:
        """Connect, or raise Unconnected. The Secret is read anew, so a rotated token is noticed."""
        spec = _spec_of(cluster)
        token_id, token_secret = await self._token(cluster, spec)
        made_of = (spec, token_id, token_secret)
        known = self._connected.get(cluster.id)
        if known is not None and known.made_of == made_of:
            return known.client
        client = ProxmoxClient(_settings(spec, token_id, token_secret))
        self._connected[cluster.id] = _Connected(made_of, client)
        if known is not None:
            await known.client.close()
        return client

    async def _token(self, cluster: Cluster, spec: ProxmoxClusterSpec) -> tuple[str, str]:
        ref = spec.token_secret_ref
        try:
            values = await self.kubernetes.read_secret(cluster.namespace, ref.name)
        except KubernetesError as error:
            raise Unconnected(f"Secret {ref.name}: {error}") from error
        return (
            _value(values, ref.name, ref.token_id_key),
            _value(values, ref.name, ref.token_secret_key),
        )

    async def close(self) -> None:
        """Let go of every client."""
        for connected in self._connected.values():
            await connected.client.close()


def _spec_of(cluster: Cluster) -> ProxmoxClusterSpec:
    if cluster.spec is None:
        raise Unconnected(f"there is no ProxmoxCluster {cluster.namespace}/{cluster.name}")
    try:
        return parse_proxmox_cluster(cluster.spec)
    except InvalidSpec as error:
        raise Unconnected(str(error)) from error


def _value(values: Mapping[str, str], secret: str, key: str) -> str:
    value = values.get(key, "").strip()
    if not value:
        raise Unconnected(f"Secret {secret} has no key {key}, or it is empty")
    return value


def _settings(spec: ProxmoxClusterSpec, token_id: str, token_secret: str) -> ProxmoxSettings:
    try:
        return ProxmoxSettings(
            endpoints=spec.endpoints,
            ca_pem=spec.ca_bundle,
            token_id=token_id,
            token_secret=token_secret,
            connect_timeout=timedelta(seconds=spec.timeouts.connect_seconds),
            read_timeout=timedelta(seconds=spec.timeouts.read_seconds),
            post_timeout=timedelta(seconds=spec.timeouts.post_seconds),
        )
    except ProxmoxMisconfigured as error:
        raise Unconnected(str(error)) from error


@dataclass(frozen=True, slots=True)
class View:
    """What is known of a cluster now: its client and inventory, or why there is none."""

    cluster: Cluster
    client: ProxmoxClient | None
    inventory: Inventory | None
    trouble: ProxmoxError | Unconnected | None


async def view(clients: Clients, cluster: Cluster) -> View:
    """Look at a whole cluster. Never raises: trouble is part of the view."""
    try:
        client = await clients.client(cluster)
    except Unconnected as error:
        return View(cluster, None, None, error)
    try:
        return View(cluster, client, await client.inventory(), None)
    except ProxmoxError as error:
        return View(cluster, client, None, error)
