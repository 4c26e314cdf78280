"""What is remembered: the event log, what follows from it, and what happened to requests."""
