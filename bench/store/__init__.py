"""The log: appended, verified, read whole, and started from."""
