"""Who may report: enrolment tokens, tokens of single VMs, machines known by SMBIOS UUID alone.

Revision ID: 0004
Revises: 0003
"""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables; a replica of the version before does not know the tokens in them (401)."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    """Go back by restoring a backup."""
    raise NotImplementedError("drop the database instead, or restore a backup")
