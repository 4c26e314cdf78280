"""Calls to other systems: public addresses only, bounded in time and size, with retries."""
