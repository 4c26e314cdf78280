"""Whether the log is what was written; copies of it that can be checked and brought back."""
