"""Where the VMs are and how they are marked: nodes with their counts, labels in use."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node of a Proxmox cluster and its VMs by state; `node` None: those without one."""

    cluster: str
    node: str | None
    online: bool | None
    total: int
    healthy: int
    warning: int
    down: int
    unknown: int
    reset_failed: int


@dataclass(frozen=True, slots=True)
class LabelView:
    """A label in use, and its values."""

    key: str
    values: Sequence[str]


NODES = text("""
WITH counted AS (
    SELECT v.cluster_id, v.node, count(*) AS total,
        count(*) FILTER (WHERE s.state = 'healthy') AS healthy,
        count(*) FILTER (WHERE s.state = 'warning') AS warning,
        count(*) FILTER (WHERE s.state = 'down') AS down,
        count(*) FILTER (WHERE s.state = 'unknown') AS unknown,
        count(*) FILTER (WHERE s.state = 'reset_failed') AS reset_failed
    FROM vm v JOIN vm_state s ON s.vm_id = v.id
    GROUP BY v.cluster_id, v.node
),
seen AS (
    SELECT c.id AS cluster_id, n.name AS node, n.online
    FROM proxmox_cluster c, jsonb_to_recordset(c.nodes) AS n(name text, online boolean)
)
SELECT c.name AS cluster, node, seen.online,
    coalesce(total, 0) AS total, coalesce(healthy, 0) AS healthy, coalesce(warning, 0) AS warning,
    coalesce(down, 0) AS down, coalesce(unknown, 0) AS unknown,
    coalesce(reset_failed, 0) AS reset_failed
FROM counted FULL JOIN seen USING (cluster_id, node)
JOIN proxmox_cluster c ON c.id = cluster_id
ORDER BY c.name, c.id, node
""")
LABELS = text("""
SELECT key, (array_agg(value ORDER BY value))[1 : (:values_most)] AS values
FROM (
    SELECT DISTINCT l.key, l.value
    FROM vm v, jsonb_each_text(v.labels) AS l(key, value)
    WHERE v.labels <> '{}'::jsonb
) AS used
GROUP BY key ORDER BY key LIMIT :keys_most
""")


async def nodes(connection: AsyncConnection) -> Sequence[NodeView]:
    """Read every node that Proxmox shows or a VM is on, by cluster and name."""
    return [NodeView(**row._mapping) for row in await connection.execute(NODES)]


async def labels(
    connection: AsyncConnection, *, keys_most: int, values_most: int
) -> Sequence[LabelView]:
    """Read the labels in use, so many at most, by name."""
    bound = {"keys_most": keys_most, "values_most": values_most}
    rows = await connection.execute(LABELS, bound)
    return [LabelView(row.key, row.values) for row in rows]
