"""Judges that Rampart calls."""
