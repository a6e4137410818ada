"""Run by Alembic: applies revisions on the connection that it is given."""

from __future__ import annotations

from alembic import context

from greenlight.adapters.stores.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
