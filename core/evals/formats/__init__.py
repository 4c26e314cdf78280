"""Readers of eval results: one file per format, each from parsed bytes to an `EvalRun`."""
