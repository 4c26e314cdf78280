"""Coordination between processes: leases on outbox rows and timer slots, and heartbeats."""
