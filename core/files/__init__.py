"""Rollout, surface and policy files: parse YAML, report problems with their line, and build the plan."""
