"""Rollouts beside each other: the queue of an AI feature, and what a plan that waited becomes (pure)."""
