"""Who gets which version, now and earlier, and what other systems are brought to (pure)."""
