"""The versions of an AI feature: their history, and the difference between two of them (pure)."""
