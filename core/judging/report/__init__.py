"""What people read about a judgement: one row per metric, its history, and its statistical power."""
