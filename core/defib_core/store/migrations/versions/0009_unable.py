"""Who could not report, as looks found; and which holds by a sign of life have lasted too long.

Safe while replicas of the version before run: they read and write neither column.

Revision ID: 0009
Revises: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.get_bind().exec_driver_sql(
        "ALTER TABLE vm ADD COLUMN unable_since TIMESTAMP WITH TIME ZONE;"
        "ALTER TABLE hold ADD COLUMN alerted_at TIMESTAMP WITH TIME ZONE;"
    )


def downgrade() -> None:
    """Take them away."""
    op.get_bind().exec_driver_sql(
        "ALTER TABLE vm DROP COLUMN unable_since; ALTER TABLE hold DROP COLUMN alerted_at;"
    )
