"""Slack's tables: shapes, limits, rates and errors."""
