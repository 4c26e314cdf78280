"""The Slack app: parses commands and clicks, passes them on, and answers."""
