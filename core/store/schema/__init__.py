"""Tables and triggers brought to what this program needs."""
