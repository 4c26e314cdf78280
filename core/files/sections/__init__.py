"""Sections that files share, as written: limits, stages, metrics, sources and what a rollout drives."""
