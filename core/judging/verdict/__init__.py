"""Conclusions from a look: findings, non-inferiority, health of the evidence, and what could have been detected."""
