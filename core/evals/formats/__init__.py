"""Readers of eval results, from bytes to an `EvalRun`: tables, JSON and XML here, one file per eval tool in `tools`."""
