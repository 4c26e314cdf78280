"""Schema migrations, and the triggers that protect the log."""
