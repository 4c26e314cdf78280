"""Conclusions from a look: findings, non-inferiority, split, missing data, and what could have been detected."""
