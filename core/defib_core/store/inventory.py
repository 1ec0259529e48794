"""Keeps what Proxmox lists, so that the API can say what is not covered. Judges nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Guest:
    """A row of Proxmox's list."""

    vmid: int
    node: str
    name: str | None
    kind: str
    """qemu, lxc or unknown."""
    state: str
    """running, stopped or unknown."""
    template: bool
    ha_state: str | None
    """None: not managed by HA."""
    may_reset: bool | None
    """The token holds VM.PowerMgmt for it; None: its rights could not be read."""


# Only what has changed is written: a large cluster at rest costs a read.
KEEP = text("""
WITH listed AS (
    SELECT * FROM unnest(
        CAST(:vmids AS int[]), CAST(:nodes AS text[]), CAST(:names AS text[]),
        CAST(:kinds AS text[]), CAST(:states AS text[]), CAST(:templates AS bool[]),
        CAST(:ha_states AS text[]), CAST(:may_reset AS bool[])
    ) AS l(vmid, node, name, kind, state, template, ha_state, may_reset)
),
gone AS (
    DELETE FROM proxmox_guest g
    WHERE g.cluster_id = :cluster_id
      AND NOT EXISTS (SELECT FROM listed l WHERE l.vmid = g.vmid)
),
kept AS (
    INSERT INTO proxmox_guest AS g
        (cluster_id, vmid, node, name, kind, state, template, ha_state, may_reset, seen_at)
    SELECT :cluster_id, vmid, node, name, kind, state, template, ha_state, may_reset, :now
    FROM listed
    ON CONFLICT (cluster_id, vmid) DO UPDATE SET node = EXCLUDED.node, name = EXCLUDED.name,
        kind = EXCLUDED.kind, state = EXCLUDED.state, template = EXCLUDED.template,
        ha_state = EXCLUDED.ha_state, may_reset = coalesce(EXCLUDED.may_reset, g.may_reset),
        seen_at = EXCLUDED.seen_at
    WHERE (g.node, g.name, g.kind, g.state, g.template, g.ha_state, g.may_reset)
        IS DISTINCT FROM (EXCLUDED.node, EXCLUDED.name, EXCLUDED.kind, EXCLUDED.state,
            EXCLUDED.template, EXCLUDED.ha_state, coalesce(EXCLUDED.may_reset, g.may_reset))
)
UPDATE proxmox_cluster SET inventory_at = :now WHERE id = :cluster_id
""")


async def keep(
    connection: AsyncConnection, cluster_id: int, guests: Sequence[Guest], now: datetime
) -> None:
    """Keep a cluster's whole list; what is not in it is forgotten.

    An empty list says nothing: a token without rights sees one.
    """
    if not guests:
        return
    listed = list({one.vmid: one for one in guests}.values())
    await connection.execute(
        KEEP,
        {
            "cluster_id": cluster_id,
            "now": now,
            "vmids": [one.vmid for one in listed],
            "nodes": [one.node for one in listed],
            "names": [one.name for one in listed],
            "kinds": [one.kind for one in listed],
            "states": [one.state for one in listed],
            "templates": [one.template for one in listed],
            "ha_states": [one.ha_state for one in listed],
            "may_reset": [one.may_reset for one in listed],
        },
    )
