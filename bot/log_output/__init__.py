"""Log lines: how they are made, kept free of secrets, and printed."""
