"""What processes share out among themselves: outbox rows, slots of timers, and who is alive."""
