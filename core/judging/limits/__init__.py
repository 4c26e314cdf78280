"""Limits that were agreed, those that hold by default, and the null hypotheses that they stand for."""
