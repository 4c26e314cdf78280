"""Slack's rules as tables and checks: payload shapes, limits, rate limits and errors."""
