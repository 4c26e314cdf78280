"""The event log: appending, reading in order, and notifying other processes."""
