"""Who gets what: bucketing, targeting and evaluation, as functions of an immutable snapshot."""
