"""Everything that is stored: the event log, its read models and outbox, and the observations of requests."""
