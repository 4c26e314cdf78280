"""Offline evals: reading their results, and the gate they must pass before anybody is exposed."""
