"""Who may see and do what: tokens of people with a role, and browsers' sessions.

Revision ID: 0006
Revises: 0005
"""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables; a replica of the version before does not know what is in them (401)."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    """Go back by restoring a backup."""
    raise NotImplementedError("drop the database instead, or restore a backup")
