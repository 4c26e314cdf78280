"""What only Postgres has: its append transaction, functions in the database, and the role of the running program."""
