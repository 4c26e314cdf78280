"""What the sandbox workspace holds: people, channels, messages, and what went wrong on request."""
