"""The event log: appended to, read in order, and announced to other processes."""
