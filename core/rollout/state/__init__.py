"""What has happened, and what follows from it: events, and the values that are folded from them (pure)."""
