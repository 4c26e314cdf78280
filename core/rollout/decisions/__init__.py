"""What a command does: the events that follow, or a refusal with its reason (pure)."""
