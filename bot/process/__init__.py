"""The state of one process: what it serves, whether it is up to date, what the other processes serve."""
