"""Alembic's entry: runs the revisions on the connection that `store.migrate` opened and locked."""

from alembic import context

from defib_core.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
