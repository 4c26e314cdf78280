"""A Slack small enough for a laptop: for the demo, and for tests that drive a real Bolt app."""
