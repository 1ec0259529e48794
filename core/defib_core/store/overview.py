"""How Defib itself is: who proves what, who leads, what holds many VMs, what waits to be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.config.system_config import parse_system_config
from defib_core.store import controls, intents, lease, relays
from defib_core.store.controls import GlobalStop
from defib_core.store.holds import ALERTING


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """An API process, and when it last proved that it stores reports."""

    name: str
    started_at: datetime
    proved_at: datetime
    live: bool


@dataclass(frozen=True, slots=True)
class IngestView:
    """Whether reports are stored; `blind_since` None while they are."""

    replicas: Sequence[ReplicaView]
    blind_since: datetime | None


@dataclass(frozen=True, slots=True)
class RelayView:
    """A relay that may report. `proved_at` None: it never has; `waiting`, `lost`: its own words."""

    name: str
    cluster: str
    proved_at: datetime | None
    live: bool
    waiting: int
    lost: int
    version: str | None


@dataclass(frozen=True, slots=True)
class OperatorView:
    """The operator, as the database knows it. `statuses_waiting`: resources to be written."""

    leader: str | None
    swept_at: datetime | None
    sweep_age: timedelta | None
    kubernetes_heard_at: datetime | None
    statuses_waiting: int


@dataclass(frozen=True, slots=True)
class ClusterView:
    """A Proxmox cluster, as it was last seen."""

    namespace: str
    name: str
    reachable: bool | None
    version: str | None
    quorate: bool | None
    message: str | None
    invalid: str | None
    checked_at: datetime | None
    nodes: Sequence[Mapping[str, Any]]
    token_missing: Sequence[str]


@dataclass(frozen=True, slots=True)
class HoldView:
    """How many VMs are held for one reason now; of how many the agent has to be repaired."""

    reason: str
    held: int
    alerting: int


@dataclass(frozen=True, slots=True)
class BrakeView:
    """A brake in force, and how many VMs it holds now."""

    kind: str
    scope: str
    reason: str
    message: str
    since: datetime
    vms: int


@dataclass(frozen=True, slots=True)
class ConfigView:
    """A SystemConfig in force; `generation` is that of the spec in force, None: the defaults."""

    namespace: str
    name: str
    uid: str | None
    generation: int | None
    spec: Mapping[str, Any]
    invalid: str | None
    changed_at: datetime
    vms: int


@dataclass(frozen=True, slots=True)
class Overview:
    """All of it, at one moment."""

    now: datetime
    ingest: IngestView
    relays: Sequence[RelayView]
    operator: OperatorView
    clusters: Sequence[ClusterView]
    holds: Sequence[HoldView]
    brakes: Sequence[BrakeView]
    global_stop: GlobalStop | None
    intents: Mapping[str, int]


POLICY = text("SELECT spec FROM system_config WHERE namespace = :namespace AND name = 'default'")
REPLICAS = text("SELECT replica, started_at, proved_at FROM ingest_liveness ORDER BY replica")
OPERATOR = text("""
SELECT swept_at, kubernetes_seen_at, (SELECT count(*) FROM status_outbox) AS statuses_waiting
FROM operator_health
""")
CLUSTERS = text("""
SELECT namespace, name, reachable, version, quorate, message, invalid, checked_at, nodes,
    token_missing
FROM proxmox_cluster ORDER BY name, namespace
""")
HOLDS = text(f"""
SELECT h.reason, count(*) AS held, count(*) FILTER (WHERE {ALERTING}) AS alerting
FROM hold h JOIN vm_state s ON s.vm_id = h.vm_id
WHERE h.ended_at IS NULL GROUP BY h.reason ORDER BY h.reason
""")
# `key` names a group by ids, as brakes.py makes it: fleet, cluster, fleet/value, cluster/node.
BRAKES = text("""
SELECT b.kind, b.reason, b.message, b.started_at AS since,
    CASE b.kind
        WHEN 'fleet' THEN s.namespace || '/' || s.name
        WHEN 'cluster' THEN c.name
        WHEN 'domain' THEN s.namespace || '/' || s.name || ': ' || part.rest
        ELSE c.name || '/' || part.rest
    END AS scope,
    (SELECT count(*) FROM hold h JOIN vm v ON v.id = h.vm_id
     WHERE h.ended_at IS NULL AND h.reason = b.reason
       AND CASE b.kind
               WHEN 'fleet' THEN v.config_id = part.id
               WHEN 'cluster' THEN v.cluster_id = part.id
               WHEN 'domain' THEN v.config_id = part.id
                    AND v.labels ->> (s.spec #>> '{safety,failureDomainLabel}') = part.rest
               ELSE v.cluster_id = part.id AND v.node = part.rest
           END) AS vms
FROM brake b
CROSS JOIN LATERAL (
    SELECT split_part(b.key, '/', 1)::int AS id,
        substr(b.key, length(split_part(b.key, '/', 1)) + 2) AS rest
) AS part
LEFT JOIN system_config s ON b.kind IN ('fleet', 'domain') AND s.id = part.id
LEFT JOIN proxmox_cluster c ON b.kind IN ('cluster', 'node') AND c.id = part.id
WHERE b.ended_at IS NULL
ORDER BY b.started_at, b.id
""")
CONFIGS = text("""
SELECT c.namespace, c.name, c.uid, c.generation, c.spec, c.invalid, c.changed_at,
    count(v.id) AS vms
FROM system_config c LEFT JOIN vm v ON v.config_id = c.id
GROUP BY c.id ORDER BY c.namespace, c.name
""")


async def overview(connection: AsyncConnection, namespace: str, now: datetime) -> Overview:
    """Read how Defib is."""
    spec = (await connection.execute(POLICY, {"namespace": namespace})).scalar_one()
    blind_after = parse_system_config(spec).to_policy().safety.blind_after
    held = [HoldView(**row._mapping) for row in await connection.execute(HOLDS)]
    return Overview(
        now=now,
        ingest=await _ingest(connection, blind_after, now),
        relays=await _relays(connection, blind_after, now),
        operator=await _operator(connection, now),
        clusters=[ClusterView(**row._mapping) for row in await connection.execute(CLUSTERS)],
        holds=held,
        brakes=[BrakeView(**row._mapping) for row in await connection.execute(BRAKES)],
        global_stop=await controls.global_stop(connection),
        intents=await intents.unfinished_by_phase(connection),
    )


async def configs(connection: AsyncConnection) -> Sequence[ConfigView]:
    """Read every SystemConfig that is in force."""
    return [ConfigView(**row._mapping) for row in await connection.execute(CONFIGS)]


async def _ingest(connection: AsyncConnection, blind_after: timedelta, now: datetime) -> IngestView:
    replicas = [
        ReplicaView(row.replica, row.started_at, row.proved_at, now - row.proved_at <= blind_after)
        for row in await connection.execute(REPLICAS)
    ]
    if any(one.live for one in replicas):
        return IngestView(replicas, None)
    last = max((one.proved_at for one in replicas), default=now)
    return IngestView(replicas, last)


async def _relays(
    connection: AsyncConnection, blind_after: timedelta, now: datetime
) -> Sequence[RelayView]:
    return [
        RelayView(
            name=one.name,
            cluster=one.cluster,
            proved_at=one.proved_at,
            live=relays.blind_since(one.proved_at, blind_after, now) is None,
            waiting=one.waiting,
            lost=one.lost,
            version=one.version,
        )
        for one in await relays.listed(connection)
        if one.revoked_at is None
    ]


async def _operator(connection: AsyncConnection, now: datetime) -> OperatorView:
    row: Row[Any] = (await connection.execute(OPERATOR)).one()
    return OperatorView(
        leader=await lease.leader(connection),
        swept_at=row.swept_at,
        sweep_age=None if row.swept_at is None else now - row.swept_at,
        kubernetes_heard_at=row.kubernetes_seen_at,
        statuses_waiting=row.statuses_waiting,
    )
