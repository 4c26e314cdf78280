"""Connections to SQLite and Postgres, and the transaction that appends to the log on each of them."""
