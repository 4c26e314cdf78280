"""Counters of a Prometheus."""
