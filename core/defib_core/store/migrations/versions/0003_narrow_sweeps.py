"""Indexes that let a sweep look at few of many VMs, and count the others without reading them.

A heartbeat changes none of their columns, so its updates still touch no index.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE INDEX vm_state_attempts_idx ON vm_state (vm_id) WHERE reset_attempts > 0;
CREATE INDEX vm_paused_until_idx ON vm (paused_until) WHERE paused_until IS NOT NULL;
CREATE INDEX vm_paused_idx ON vm (id) WHERE paused_reason IS NOT NULL;
CREATE INDEX vm_stale_timeout_idx ON vm (config_id, stale_timeout_override)
    WHERE stale_timeout_override IS NOT NULL;
CREATE INDEX vm_config_idx ON vm (config_id) WHERE stale_timeout_override IS NULL;
CREATE INDEX vm_managed_idx ON vm (config_id)
    WHERE uid IS NOT NULL AND tombstoned_at IS NULL;
CREATE INDEX vm_member_idx ON vm (config_id, cluster_id, node)
    WHERE uid IS NOT NULL AND tombstoned_at IS NULL AND rejected IS NULL AND remediation_enabled
      AND (proxmox_state IS NULL OR proxmox_state = 'running');
"""


def upgrade() -> None:
    """Create the indexes."""
    op.get_bind().exec_driver_sql(STATEMENTS)


def downgrade() -> None:
    """Take them away."""
    op.get_bind().exec_driver_sql(
        "DROP INDEX vm_state_attempts_idx, vm_paused_until_idx, vm_paused_idx,"
        " vm_stale_timeout_idx, vm_config_idx, vm_managed_idx, vm_member_idx"
    )
