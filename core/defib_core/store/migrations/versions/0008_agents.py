"""The fullest disk of a VM, and two machines that report as one.

Safe while replicas of the version before run: they leave the new columns as they are.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE vm_state
    ADD COLUMN worst_disk TEXT,
    ADD COLUMN worst_disk_percent REAL,
    ADD COLUMN boot_ids_before TEXT[],
    ADD COLUMN boot_returned_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN clone_since TIMESTAMP WITH TIME ZONE;
CREATE INDEX vm_state_clone_idx ON vm_state (vm_id) WHERE clone_since IS NOT NULL;
"""


def upgrade() -> None:
    """Add the columns."""
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    """Nothing is removed: the version before runs on this schema."""
    raise NotImplementedError("drop the database instead")
