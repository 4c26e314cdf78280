"""Asking and telling the log: commands that are decided and appended, evaluations, and what is read back."""
