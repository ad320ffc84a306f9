"""Alembic's way in. Only `adapters.database.desk.migrate` runs it, with an open connection."""

from __future__ import annotations

from alembic import context

from strongroom.adapters.database.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    context.run_migrations()
