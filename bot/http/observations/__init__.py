"""Batches of observations: read, checked, and written together."""
