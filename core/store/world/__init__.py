"""The folded state of the log: cached in memory, saved as checkpoints, and as one row per rollout."""
