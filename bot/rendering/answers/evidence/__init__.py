"""Answers about the evidence of a rollout: metrics, strata, checks, samples and the baseline."""
