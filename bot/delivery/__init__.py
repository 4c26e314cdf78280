"""Out of the outbox: messages into Slack, and percentages into driven flag systems."""
