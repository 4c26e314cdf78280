"""What applications and people reported, counted once, and every look that was taken at it."""
