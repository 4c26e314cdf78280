"""Delivers the outbox: messages to Slack, and percentages to driven flag systems."""
