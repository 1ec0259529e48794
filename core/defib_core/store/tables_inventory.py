"""The table of what Proxmox lists. Written by the operator alone; the API has no way to ask."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    Table,
    Text,
)

from defib_core.store.tables import Moment, metadata

proxmox_guest = Table(
    "proxmox_guest",
    metadata,
    Column(
        "cluster_id",
        Integer,
        ForeignKey("proxmox_cluster.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("vmid", Integer, primary_key=True, autoincrement=False),
    Column("node", Text, nullable=False),
    Column("name", Text),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("template", Boolean, nullable=False),
    Column("ha_state", Text),
    # Whether the token holds VM.PowerMgmt for it; null: its rights were never read.
    Column("may_reset", Boolean),
    Column("seen_at", Moment, nullable=False),
    CheckConstraint("kind IN ('qemu', 'lxc', 'unknown')", name="kind_known"),
    CheckConstraint("state IN ('running', 'stopped', 'unknown')", name="state_known"),
    comment="What Proxmox last listed, reports or not. seen_at: since when it is listed so.",
)
