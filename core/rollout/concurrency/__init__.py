"""Rollouts beside each other: queues, plans that waited, parts that several change, and bundles (pure)."""
