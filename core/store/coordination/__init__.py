"""Coordination between processes: leases on outbox rows and timers, and heartbeats."""
