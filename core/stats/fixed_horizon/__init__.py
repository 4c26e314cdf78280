"""Tests and intervals for one look at a time or sample fixed beforehand."""
