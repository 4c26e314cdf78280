"""Anytime-valid statistics: pure functions of numbers, which know no rollout."""
