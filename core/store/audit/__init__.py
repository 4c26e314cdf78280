"""Verifying the log, anchoring its head, and exporting, backing up and restoring it."""
