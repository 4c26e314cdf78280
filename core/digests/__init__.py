"""What happened to all rollouts in a week, in numbers that follow from the log alone (pure)."""
