"""What people read of a judgement: one row per metric, how it developed, and what it could have shown."""
