"""What a rollout asks of the engine, and what limits its judging."""
