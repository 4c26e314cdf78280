"""Adapters for external flag systems that a rollout drives; each can read and write one percentage."""
