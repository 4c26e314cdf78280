"""Rollouts beside each other: queues, plans that waited, and bundles (pure)."""
