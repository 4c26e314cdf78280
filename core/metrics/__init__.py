"""Metrics: the catalogue, and the observations that applications report."""
