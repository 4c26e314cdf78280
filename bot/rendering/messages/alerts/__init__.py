"""Loud messages when something went wrong, and the checklist after a rollback."""
