"""What could not be noticed, in words: harm too small or too late, unknown units, and what no eval shows."""
