"""What clients that evaluate elsewhere need: the snapshot, and word of its changes."""
