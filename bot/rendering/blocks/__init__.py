"""Block Kit builders that respect Slack's limits, and all buttons."""
