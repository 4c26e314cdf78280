"""From what was measured to one verdict: pure, deterministic, and the same again from the record."""
