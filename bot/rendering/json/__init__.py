"""Rollouts and evidence as JSON."""
