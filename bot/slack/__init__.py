"""The Slack door: parse, hand over, answer."""
