"""Block Kit within its limits, and every button."""
