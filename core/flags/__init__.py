"""Feature flags: bucketing, targeting and evaluation as pure functions of an immutable snapshot."""
