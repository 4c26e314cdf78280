"""Anytime-valid statistics: pure functions of numbers that know nothing about rollouts."""
