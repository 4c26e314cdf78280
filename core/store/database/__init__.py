"""Connections to SQLite and Postgres, and the append transaction that both of them have a backend for."""
