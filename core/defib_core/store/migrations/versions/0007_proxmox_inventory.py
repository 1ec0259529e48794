"""What Proxmox lists, kept for /api/coverage: the API has no way to ask Proxmox itself.

Safe while replicas of the version before run: they know neither the table nor the column.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE proxmox_cluster ADD COLUMN inventory_at TIMESTAMP WITH TIME ZONE;

CREATE TABLE proxmox_guest (
    cluster_id INTEGER NOT NULL,
    vmid INTEGER NOT NULL,
    node TEXT NOT NULL,
    name TEXT,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    template BOOLEAN NOT NULL,
    ha_state TEXT,
    may_reset BOOLEAN,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT proxmox_guest_pkey PRIMARY KEY (cluster_id, vmid),
    CONSTRAINT proxmox_guest_cluster_id_fkey FOREIGN KEY (cluster_id)
        REFERENCES proxmox_cluster (id) ON DELETE CASCADE,
    CONSTRAINT proxmox_guest_kind_known_check CHECK (kind IN ('qemu', 'lxc', 'unknown')),
    CONSTRAINT proxmox_guest_state_known_check CHECK (state IN ('running', 'stopped', 'unknown'))
);
COMMENT ON TABLE proxmox_guest IS
    'What Proxmox last listed, reports or not. seen_at: since when it is listed so.';
"""


def upgrade() -> None:
    """Add the table, and when each cluster's list was read."""
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    """Nothing is removed: the version before runs on this schema."""
    raise NotImplementedError("drop the database instead")
