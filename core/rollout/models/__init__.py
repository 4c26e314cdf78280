"""Which models versions call, when providers switch them off, and what the way back is then (pure)."""
