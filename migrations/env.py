"""Runs the migrations on the connection that the program hands over."""

from alembic import context

from core.store.models import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
