"""Calls to other systems: to public addresses only, bounded in time and size, and tried again."""
