"""The Proxmox clusters of this operator: a client each, made anew when spec or Secret change.

Keeps the last inventory of each, and writes what was seen into PostgreSQL and into the status of
the ProxmoxCluster. Judges no VM.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from defib_core.config.base import InvalidSpec
from defib_core.config.proxmox_cluster import ProxmoxClusterSpec, parse_proxmox_cluster
from defib_core.store.clusters import Cluster
from defib_operator.kube import Kubernetes, KubernetesError, KubernetesNotFound
from defib_operator.proxmox import (
    Inventory,
    Lane,
    ProxmoxClient,
    ProxmoxError,
    ProxmoxMisconfigured,
    ProxmoxSettings,
)
from defib_operator.proxmox.timing import Note, no_note

log = structlog.get_logger(__name__)

READ_SECRET_EVERY = timedelta(seconds=8)
TRY_AGAIN_AFTER = timedelta(seconds=2)
ENDPOINTS_KEY = "endpoints"
"""Where a Secret has it, the only places to which its token may be sent."""


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


@dataclass(frozen=True, slots=True)
class _Read:
    """What a Secret said, and when; `token` is an error where it said nothing of use."""

    at: float
    spec: ProxmoxClusterSpec
    token: tuple[str, str] | Unconnected


@dataclass(slots=True)
class KubernetesClients:
    """Clients made from ProxmoxCluster objects and the Secrets they name.

    A cluster keeps its client for good: a new token or spec is put into it, so that a reset on its
    way goes on with the token that is valid now.
    """

    kubernetes: Kubernetes
    note: Note = no_note
    """Takes how long each call to Proxmox took."""
    _connected: dict[int, _Connected] = field(default_factory=dict)
    _read: dict[int, _Read] = field(default_factory=dict)

    async def client(self, cluster: Cluster) -> ProxmoxClient:
        """Connect, or raise Unconnected. The Secret is read now and then, so a rotation shows."""
        spec = _spec_of(cluster)
        token = await self._token(cluster, spec)
        made_of = (spec, *token)
        known = self._connected.get(cluster.id)
        if known is not None and known.made_of == made_of:
            return known.client
        settings = _settings(spec, *token)
        if known is None:
            made = ProxmoxClient(settings, note=self.note)
            known = self._connected[cluster.id] = _Connected(made_of, made)
        else:
            known.made_of = made_of
            await known.client.rotate(settings)
            log.info("client_renewed", cluster=cluster.name)
        return known.client

    async def _token(self, cluster: Cluster, spec: ProxmoxClusterSpec) -> tuple[str, str]:
        """Give the token as last read, or read it anew where that was long ago."""
        known = self._read.get(cluster.id)
        now = asyncio.get_running_loop().time()
        if known is None or known.spec != spec or now - known.at > _keeps_for(known):
            known = self._read[cluster.id] = _Read(now, spec, await self._asked(cluster, spec))
        if isinstance(known.token, Unconnected):
            raise Unconnected(str(known.token))
        return known.token

    async def _asked(
        self, cluster: Cluster, spec: ProxmoxClusterSpec
    ) -> tuple[str, str] | Unconnected:
        """Read the Secret. The token known stays good while the Kubernetes API is away."""
        ref = spec.token_secret_ref
        try:
            values = await self.kubernetes.read_secret(cluster.namespace, ref.name)
            _check_places(values, ref.name, spec)
            return (
                _value(values, ref.name, ref.token_id_key),
                _value(values, ref.name, ref.token_secret_key),
            )
        except Unconnected as error:
            return error
        except KubernetesNotFound:
            return Unconnected(f"there is no Secret {cluster.namespace}/{ref.name}; create it")
        except KubernetesError as error:
            known = self._read.get(cluster.id)
            if known is not None and known.spec.token_secret_ref == ref:
                return known.token
            return Unconnected(f"Secret {ref.name}: {error}")

    async def close(self) -> None:
        """Let go of every client."""
        for connected in self._connected.values():
            await connected.client.close()


def _keeps_for(read: _Read) -> float:
    kept = TRY_AGAIN_AFTER if isinstance(read.token, Unconnected) else READ_SECRET_EVERY
    return kept.total_seconds()


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


def _check_places(values: Mapping[str, str], secret: str, spec: ProxmoxClusterSpec) -> None:
    """Raise Unconnected where the Secret's owner did not mean its token for these endpoints.

    Who may write a ProxmoxCluster need not be who may read the Secret that it names.
    """
    said = values.get(ENDPOINTS_KEY)
    if said is None:
        return
    allowed = {one.rstrip("/") for one in said.replace(",", " ").split()}
    for endpoint in spec.endpoints:
        if endpoint.rstrip("/") not in allowed:
            raise Unconnected(
                f"Secret {secret} does not name {endpoint} in its key {ENDPOINTS_KEY}, so its token"
                " is sent nowhere; mend the Secret, or spec.endpoints"
            )


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


async def view(clients: Clients, cluster: Cluster, lane: Lane = Lane.SWEEP) -> View:
    """Look at a whole cluster. Never raises: trouble is part of the view."""
    try:
        client = await clients.client(cluster)
    except Unconnected as error:
        return View(cluster, None, None, error)
    try:
        return View(cluster, client, await client.inventory(lane), None)
    except ProxmoxError as error:
        return View(cluster, client, None, error)
