"""Connections to SQLite and Postgres, and the append transaction on each of them."""
