"""The state of the sandbox's Slack: people, channels, messages, views, planned faults and recorded traffic."""
