"""Answers to queries: status, metrics, explanations, history, notices, simulations."""
