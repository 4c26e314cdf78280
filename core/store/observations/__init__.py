"""Observations from applications and people, each counted once, and the looks that were taken at them."""
