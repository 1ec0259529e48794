"""The figures of the whole fleet and of Defib itself, for metrics: counted, never a VM by name.

Only the leading operator reads them, now and then. Ages are by the database's clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.states import State
from defib_core.store import coverage, intents, notices, partitions
from defib_core.store.clock import database_now
from defib_core.store.coverage import Counts
from defib_core.store.notices import DeliveryCounts


@dataclass(frozen=True, slots=True)
class ClusterFigures:
    """A Proxmox cluster as last seen; None where it was not."""

    name: str
    reachable: bool | None
    quorate: bool | None
    nodes_online: int
    nodes_offline: int


@dataclass(frozen=True, slots=True)
class RelayFigures:
    """A relay: the age of its last proof in seconds, reports on its disk and dropped."""

    name: str
    proof_age: float | None
    waiting: int
    lost: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All of it, at one moment. Ages in seconds; None: it never happened."""

    vms: Mapping[tuple[str, State], int]
    """By cluster and state."""
    resets_pending: int
    holds: Mapping[str, tuple[int, float]]
    """By reason: how many VMs, and the age of the oldest hold."""
    intents: Mapping[str, int]
    brakes: Mapping[str, int]
    global_stop: bool
    statuses_waiting: int
    sweep_age: float | None
    kubernetes_age: float | None
    replicas: int
    proof_age: float | None
    partitions_ahead: float
    clusters: Sequence[ClusterFigures]
    relays: Sequence[RelayFigures]
    deliveries: DeliveryCounts
    coverage: Counts


@dataclass(frozen=True, slots=True)
class VmFigures:
    """One VM, for small fleets that want to see each."""

    vm_id: int
    hostname: str
    cluster: str
    state: State
    heartbeat_age: float | None
    cpu: float | None
    ram: int | None
    ram_total: int | None
    reset_attempts: int


VMS = text("""
SELECT c.namespace || '/' || c.name AS cluster, s.state, count(*) AS vms,
    count(*) FILTER (WHERE s.reset_pending) AS pending
FROM vm_state s JOIN vm v ON v.id = s.vm_id JOIN proxmox_cluster c ON c.id = v.cluster_id
WHERE v.tombstoned_at IS NULL
GROUP BY 1, 2
""")
HOLDS = text("""
SELECT reason, count(*) AS vms, extract(epoch FROM :now - min(started_at))::float8 AS age
FROM hold WHERE ended_at IS NULL GROUP BY reason
""")
BRAKES = text("SELECT kind, count(*) AS brakes FROM brake WHERE ended_at IS NULL GROUP BY kind")
DEFIB = text("""
SELECT (SELECT count(*) FROM global_stop WHERE ended_at IS NULL) > 0 AS stopped,
    (SELECT count(*) FROM status_outbox) AS statuses_waiting,
    extract(epoch FROM :now - o.swept_at)::float8 AS sweep_age,
    extract(epoch FROM :now - o.kubernetes_seen_at)::float8 AS kubernetes_age,
    (SELECT count(*) FROM ingest_liveness WHERE proved_at > :now - interval '15 seconds')
        AS replicas,
    (SELECT extract(epoch FROM :now - max(proved_at))::float8 FROM ingest_liveness) AS proof_age
FROM operator_health o
""")
CLUSTERS = text("""
SELECT namespace || '/' || name AS name, reachable, quorate, nodes
FROM proxmox_cluster WHERE spec IS NOT NULL ORDER BY 1
""")
RELAYS = text("""
SELECT name, waiting, lost, extract(epoch FROM :now - proved_at)::float8 AS proof_age
FROM relay WHERE revoked_at IS NULL ORDER BY name
""")
EACH_VM = text("""
SELECT v.id AS vm_id, v.hostname, c.namespace || '/' || c.name AS cluster, s.state,
    extract(epoch FROM :now - s.last_heartbeat)::float8 AS heartbeat_age,
    s.cpu, s.ram, s.ram_total, s.reset_attempts
FROM vm_state s JOIN vm v ON v.id = s.vm_id JOIN proxmox_cluster c ON c.id = v.cluster_id
WHERE v.tombstoned_at IS NULL ORDER BY v.id
""")


async def figures(connection: AsyncConnection) -> Figures:
    """Count everything."""
    now = await database_now(connection)
    bound = {"now": now}
    vms = (await connection.execute(VMS)).all()
    defib = (await connection.execute(DEFIB, bound)).one()
    return Figures(
        vms={(row.cluster, State(row.state)): row.vms for row in vms},
        resets_pending=sum(row.pending for row in vms),
        holds={row.reason: (row.vms, row.age) for row in await connection.execute(HOLDS, bound)},
        intents=await intents.unfinished_by_phase(connection),
        brakes={row.kind: row.brakes for row in await connection.execute(BRAKES)},
        global_stop=defib.stopped,
        statuses_waiting=defib.statuses_waiting,
        sweep_age=defib.sweep_age,
        kubernetes_age=defib.kubernetes_age,
        replicas=defib.replicas,
        proof_age=defib.proof_age,
        partitions_ahead=await _partitions_ahead(connection, now),
        clusters=[_cluster(row) for row in await connection.execute(CLUSTERS)],
        deliveries=await notices.counts(connection),
        coverage=await coverage.counts(connection),
        relays=[RelayFigures(**row._mapping) for row in await connection.execute(RELAYS, bound)],
    )


async def each_vm(connection: AsyncConnection) -> Sequence[VmFigures]:
    """Read the figures of every VM."""
    now = await database_now(connection)
    return [
        VmFigures(**{**row._mapping, "state": State(row.state)})
        for row in await connection.execute(EACH_VM, {"now": now})
    ]


async def _partitions_ahead(connection: AsyncConnection, now: datetime) -> float:
    until = await partitions.made_until(connection)
    return 0.0 if until is None else (until - now).total_seconds()


def _cluster(row: Row[tuple[str, bool, bool, Sequence[Mapping[str, object]]]]) -> ClusterFigures:
    online = sum(node.get("online") is True for node in row.nodes)
    return ClusterFigures(row.name, row.reachable, row.quorate, online, len(row.nodes) - online)
