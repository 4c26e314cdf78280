"""A local stand-in for Slack, used by the demo and by tests that drive a real Bolt app."""
