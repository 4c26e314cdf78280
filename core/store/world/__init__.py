"""What the log folds to: kept in memory, saved as checkpoints, and as one row per rollout."""
